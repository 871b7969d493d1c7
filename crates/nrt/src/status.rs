//! The statuses that libnrt's functions return, what each means, and what to do about it.

use std::fmt;

/// One row per status: the variant, its number, its name in C, what to do, and what it means.
macro_rules! statuses {
    ($($variant:ident = $code:literal, $name:literal, $remedy:ident, $meaning:literal;)*) => {
        /// A status other than success.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Status {
            $(#[doc = $meaning] $variant,)*
            /// A number that the documentation does not list.
            Unknown(i32),
        }

        impl Status {
            /// Every status that is documented, success aside.
            pub const ALL: &[Status] = &[$(Status::$variant),*];

            /// The status of a number; 0, which is success, has none.
            pub fn of(code: i32) -> Option<Status> {
                match code {
                    0 => None,
                    $($code => Some(Status::$variant),)*
                    other => Some(Status::Unknown(other)),
                }
            }

            /// Its number.
            pub fn code(self) -> i32 {
                match self { $(Status::$variant => $code,)* Status::Unknown(code) => code }
            }

            /// Its name in the headers.
            pub fn name(self) -> &'static str {
                match self { $(Status::$variant => $name,)* Status::Unknown(_) => "a status without a name" }
            }

            /// What happened.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Status::$variant => $meaning,)*
                    Status::Unknown(_) => "this libnrt is newer than its documentation",
                }
            }

            /// What to do about it.
            pub fn remedy(self) -> Remedy {
                match self { $(Status::$variant => Remedy::$remedy,)* Status::Unknown(_) => Remedy::Report }
            }
        }
    };
}

statuses! {
    Failure = 1, "NRT_FAILURE", Report, "it failed and gives no reason";
    Invalid = 2, "NRT_INVALID", Report, "a program, a tensor's name or a size is not valid";
    InvalidHandle = 3, "NRT_INVALID_HANDLE", Report, "a handle names nothing that lives";
    Resource = 4, "NRT_RESOURCE", Shrink, "the core has no memory or no other resource left for it";
    Timeout = 5, "NRT_TIMEOUT", Restart, "the device did not finish in time";
    HwError = 6, "NRT_HW_ERROR", Restart, "the hardware failed";
    QueueFull = 7, "NRT_QUEUE_FULL", Wait, "the queue of the core is full";
    LoadNotEnoughNc = 9, "NRT_LOAD_NOT_ENOUGH_NC", Cores, "the program wants more cores than are free";
    UnsupportedNeffVersion = 10, "NRT_UNSUPPORTED_NEFF_VERSION", Recompile, "the program is of a version that this runtime does not run";
    FailHostMemAlloc = 11, "NRT_FAIL_HOST_MEM_ALLOC", Shrink, "the host has no memory left for it";
    Uninitialized = 13, "NRT_UNINITIALIZED", Report, "the runtime was not started";
    Closed = 14, "NRT_CLOSED", Report, "the runtime was closed";
    QueueEmpty = 15, "NRT_QUEUE_EMPTY", Report, "a queue was asked for what it does not hold";
    ExecUnitUnrecoverable = 101, "NRT_EXEC_UNIT_UNRECOVERABLE", Restart, "the execution unit failed for good";
    ExecBadInput = 1002, "NRT_EXEC_BAD_INPUT", Report, "the tensors are not what the program takes";
    ExecCompletedWithNumErr = 1003, "NRT_EXEC_COMPLETED_WITH_NUM_ERR", Widen, "the program met values that are not numbers";
    ExecCompletedWithErr = 1004, "NRT_EXEC_COMPLETED_WITH_ERR", Restart, "the program ended with an error of logic or of memory";
    ExecNcBusy = 1005, "NRT_EXEC_NC_BUSY", Wait, "the core is in use by another model or process";
    ExecOob = 1006, "NRT_EXEC_OOB", Report, "an index of a gather or a scatter is out of bounds";
    CollPending = 1100, "NRT_COLL_PENDING", Wait, "a collective operation is still pending";
    ExecHwErrCollectives = 1200, "NRT_EXEC_HW_ERR_COLLECTIVES", Restart, "a collective operation hangs, perhaps by an error on another core";
    ExecHwErrHbmUe = 1201, "NRT_EXEC_HW_ERR_HBM_UE", Replace, "device memory has an error that cannot be repaired";
    ExecHwErrNcUe = 1202, "NRT_EXEC_HW_ERR_NC_UE", Restart, "memory on the chip has a parity error";
    ExecHwErrDmaAbort = 1203, "NRT_EXEC_HW_ERR_DMA_ABORT", Restart, "a DMA engine met an error and stopped";
    ExecSwNqOverflow = 1204, "NRT_EXEC_SW_NQ_OVERFLOW", Restart, "notifications of the device were lost";
    ExecHwErrRepairableHbmUe = 1205, "NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE", Repair, "device memory has an error that can be repaired";
    NetworkProxyFailure = 1206, "NRT_NETWORK_PROXY_FAILURE", Network, "the network between instances failed";
}

/// One row per remedy: the variant, whether nothing on the device can be trusted any more, and what to do.
macro_rules! remedies {
    ($($variant:ident, $fatal:literal, $what:literal;)*) => {
        /// What to do about a status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Remedy { $(#[doc = $what] $variant,)* }

        impl Remedy {
            /// Whether nothing on the device can be trusted any more, so that the process has to end.
            pub fn is_fatal(self) -> bool {
                match self { $(Remedy::$variant => $fatal,)* }
            }
        }

        impl fmt::Display for Remedy {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Remedy::$variant => $what,)* })
            }
        }
    };
}

remedies! {
    Report, false, "run again with NEURON_RT_LOG_LEVEL=INFO and report what it logs";
    Shrink, false, "use fewer or smaller buckets, a shorter context, narrower weights or more cores";
    Wait, false, "wait for what is under way and try again";
    Cores, false, "make more cores visible, or end the processes that hold them";
    Recompile, false, "compile the model again with the neuronx-cc of this runtime's release";
    Widen, false, "look for weights or activations that overflow, and use a wider type";
    Restart, true, "restart the process";
    Repair, true, "stop every process on the chip and reboot the instance, which repairs the memory";
    Replace, true, "restart the process, and replace the instance if it happens again";
    Network, true, "check the network between the instances and restart the process on all of them";
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}; {}", self.name(), self.code(), self.meaning(), self.remedy())
    }
}
