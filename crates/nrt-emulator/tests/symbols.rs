//! The library has every function that AWS documents for running programs, by the names that they have in C.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use lab::Lab;

/// Left out: profiling and tracing; sending tensors between instances; and what is documented in several ways
/// (`nrt_get_status_as_str`, `nrta_event_register_xu_completion`).
const FUNCTIONS: &[&str] = &[
    "nrt_init",
    "nrt_close",
    "nrt_get_version",
    "nrt_get_instance_info",
    "nrt_get_total_vnc_count",
    "nrt_get_visible_vnc_count",
    "nrt_load",
    "nrt_load_collectives",
    "nrt_unload",
    "nrt_get_model_tensor_info",
    "nrt_free_model_tensor_info",
    "nrt_get_model_info",
    "nrt_tensor_allocate",
    "nrt_tensor_allocate_empty",
    "nrt_tensor_attach_buffer",
    "nrt_tensor_allocate_slice",
    "nrt_tensor_free",
    "nrt_tensor_read",
    "nrt_tensor_write",
    "nrt_tensor_read_batch",
    "nrt_tensor_write_batch",
    "nrt_tensor_copy",
    "nrt_tensor_memset",
    "nrt_tensor_get_size",
    "nrt_tensor_get_va",
    "nrt_tensor_get_device_allocation_info",
    "nrt_tensor_check_output_completion",
    "nrt_tensor_reset_output_completion",
    "nrt_get_vnc_memory_stats",
    "nrt_get_dmabuf_fd",
    "nrt_get_hbm_mmap_va",
    "nrt_get_attached_efa_bdf",
    "nrt_allocate_tensor_set",
    "nrt_destroy_tensor_set",
    "nrt_add_tensor_to_tensor_set",
    "nrt_get_tensor_from_tensor_set",
    "nrt_execute",
    "nrt_execute_repeat",
    "nrt_build_global_comm",
    "nrt_cc_global_comm_init",
    "nrt_barrier",
    "nrt_all_gather",
    "nrta_tensor_write",
    "nrta_tensor_read",
    "nrta_tensor_copy",
    "nrta_execute_schedule",
    "nrta_cc_prepare",
    "nrta_cc_schedule",
    "nrta_is_completed",
    "nrta_get_sequence",
    "nrta_event_register_seq_id_completion",
];

#[test]
fn every_documented_function_is_there() {
    let library = Lab::new().library();
    for name in FUNCTIONS {
        // SAFETY: an address is looked up, and nothing is called.
        unsafe { library.find::<*const ()>(name) }.unwrap();
    }
    // SAFETY: as above.
    assert!(unsafe { library.find::<*const ()>("nrt_run") }.is_err());
}
