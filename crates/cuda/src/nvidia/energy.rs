//! A GPU's own counter of energy, by NVIDIA's management library where that is here. Nobody has run this on a GPU yet.

use std::ffi::{CStr, CString, c_char, c_int, c_ulonglong, c_void};
use std::mem;
use std::ptr;

use cudarc::driver::{result, sys};

use super::attribute;

const LIBRARY: &CStr = c"libnvidia-ml.so.1";

/// `nvmlInit_v2`.
type Init = unsafe extern "C" fn() -> c_int;
/// `nvmlDeviceGetHandleByPciBusId_v2`.
type Handle = unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int;
/// `nvmlDeviceGetTotalEnergyConsumption`, in millijoules since the driver was loaded; from Volta on.
type Total = unsafe extern "C" fn(*mut c_void, *mut c_ulonglong) -> c_int;

/// The counter of one GPU.
pub struct Energy {
    device: *mut c_void,
    total: Total,
}

// SAFETY: a handle is a name that any thread may use; the library says of itself that it is safe to be called from several.
unsafe impl Send for Energy {}

impl Energy {
    /// The counter of a GPU that CUDA knows by this number; `None` where there is none, or no library that reads it.
    pub fn open(number: u32) -> Option<Energy> {
        let place = CString::new(place(number)?).ok()?;
        // SAFETY: opening NVIDIA's library runs its start-up code and nothing of ours; it stays open for good.
        let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return None;
        }
        let symbol = |name: &CStr| {
            // SAFETY: the library is open, and the name ends with a zero.
            let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
            (!symbol.is_null()).then_some(symbol)
        };
        let [init, handle, total] = [
            symbol(c"nvmlInit_v2")?,
            symbol(c"nvmlDeviceGetHandleByPciBusId_v2")?,
            symbol(c"nvmlDeviceGetTotalEnergyConsumption")?,
        ];
        // SAFETY: functions of these names have had these types since CUDA 10, as NVIDIA's header nvml.h declares them.
        let (init, handle, total) = unsafe {
            (
                mem::transmute::<*mut c_void, Init>(init),
                mem::transmute::<*mut c_void, Handle>(handle),
                mem::transmute::<*mut c_void, Total>(total),
            )
        };
        let mut device = ptr::null_mut();
        // SAFETY: it may be called as often as one likes; the name ends with a zero, and the handle is written to a place of its
        // own.
        let found = unsafe { init() == 0 && handle(place.as_ptr(), &raw mut device) == 0 };
        let energy = Energy { device, total };
        (found && energy.joules().is_some()).then_some(energy)
    }

    /// Joules since the driver was loaded.
    pub fn joules(&self) -> Option<f64> {
        let mut millijoules: c_ulonglong = 0;
        // SAFETY: the handle is the library's, which stays open, and the count is written to a place of its own.
        let status = unsafe { (self.total)(self.device, &raw mut millijoules) };
        (status == 0).then_some(millijoules as f64 / 1e3)
    }
}

/// Where a GPU is plugged in, `0000:3b:00.0`: its number is another one to the management library.
fn place(number: u32) -> Option<String> {
    use sys::CUdevice_attribute_enum as Attribute;
    super::find().ok()?;
    let device = result::device::get(i32::try_from(number).ok()?).ok()?;
    let domain = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID).ok()?;
    let bus = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID).ok()?;
    let slot = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID).ok()?;
    Some(format!("{domain:04x}:{bus:02x}:{slot:02x}.0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_not_here_has_no_counter() {
        assert!(Energy::open(u32::MAX).is_none());
        assert!(place(4096).is_none());
    }
}
