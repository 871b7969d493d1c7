//! Products of matrices by cuBLASLt, opened when the first is asked for. How a shape is multiplied is chosen once, by the
//! library's own judgement, and kept, so that steps that are captured do what was played.
//!
//! The library counts columns first: to it our rows are columns, and a product `x w^T` row by row is `w x^T`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;

use crate::driver::{Matmul, MatmulCall};

/// The library, started on the current context.
pub(super) struct Library {
    handle: sys::cublasLtHandle_t,
    known: HashMap<Matmul, Way>,
}

// SAFETY: the library's documents let handles and descriptions be used by any thread, one at a time where they change; the
// lock around them sees to that.
unsafe impl Send for Library {}

/// How a shape is multiplied.
pub(super) struct Way {
    what: sys::cublasLtMatmulDesc_t,
    w: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    out: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// Whether the library can be opened.
pub(super) fn is_present() -> bool {
    // SAFETY: opening NVIDIA's library runs its start-up code and nothing of ours.
    unsafe { sys::is_culib_present() }
}

impl Library {
    /// Starts the library; its presence was asked for before.
    pub fn start() -> Result<Library, CublasError> {
        Ok(Library { handle: result::create_handle()?, known: HashMap::new() })
    }

    /// Chooses how a shape is multiplied, where that is not known yet.
    pub fn know(&mut self, shape: Matmul) -> Result<&Way, CublasError> {
        match self.known.entry(shape) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            // SAFETY: the handle lives as long as this.
            Entry::Vacant(room) => Ok(room.insert(unsafe { Way::choose(self.handle, &shape) }?)),
        }
    }

    /// Enqueues a product.
    ///
    /// # Safety
    /// The current context is the one that the library was started on, the stream is one of its, and all of the matrices and
    /// of the room is allocated.
    pub unsafe fn multiply(&mut self, call: &MatmulCall, stream: *mut c_void) -> Result<(), CublasError> {
        let handle = self.handle;
        let way = self.know(call.what)?;
        let (one, none) = (1.0f32, 0.0f32);
        let [w, x] = [call.w, call.x].map(|at| at as *const c_void);
        let (out, room) = (call.out as *mut c_void, call.room as *mut c_void);
        // SAFETY: descriptions live as long as this; factors are on the host, as is the rule, and read before this returns; the
        // rest is the caller's promise.
        unsafe {
            result::matmul(
                handle,
                way.what,
                (&raw const one).cast(),
                (&raw const none).cast(),
                w,
                way.w,
                x,
                way.x,
                out.cast_const(),
                way.out,
                out,
                way.out,
                &raw const way.algorithm,
                room,
                call.what.room,
                stream.cast(),
            )
        }
    }

    /// Gives back all that the library holds.
    ///
    /// # Safety
    /// Nothing that was enqueued runs any more, the context is current, and nothing is multiplied after this.
    pub unsafe fn end(&mut self) {
        for (_, way) in self.known.drain() {
            // SAFETY: they are ours, and nobody uses them after this.
            unsafe { way.release() };
        }
        // SAFETY: as above.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

impl Way {
    /// # Safety
    /// The handle is one of the library's.
    unsafe fn choose(handle: sys::cublasLtHandle_t, shape: &Matmul) -> Result<Way, CublasError> {
        let Matmul { rows, features, width, room } = *shape;
        let (bf16, f32) = (sys::cudaDataType_t::CUDA_R_16BF, sys::cudaDataType_t::CUDA_R_32F);
        let layout = |of, columns: usize, rows: usize| {
            result::create_matrix_layout(of, columns as u64, rows as u64, columns as i64)
        };
        let what = result::create_matmul_desc(sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, f32)?;
        // Its `CUBLAS_OP_T`, which its own header calls a number of 32 bits.
        let turned = 1u32;
        let which = sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA;
        let bytes = size_of_val(&turned);
        // SAFETY: the description was just made, and the attribute is of this type.
        unsafe { result::set_matmul_desc_attribute(what, which, (&raw const turned).cast(), bytes) }?;
        let (w, x, out) =
            (layout(bf16, width, features)?, layout(bf16, width, rows)?, layout(f32, features, rows)?);
        let wish = result::create_matmul_pref()?;
        let which = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        // SAFETY: as above; the attribute is 8 bytes. All descriptions live until the library has chosen.
        let chosen = unsafe {
            result::set_matmul_pref_attribute(wish, which, (&raw const room).cast(), size_of_val(&room))
                .and_then(|()| result::get_matmul_algo_heuristic(handle, what, w, x, out, out, wish))
        };
        // SAFETY: it was made above, and is needed no more.
        let _ = unsafe { result::destroy_matmul_pref(wish) };
        chosen.map(|chosen| Way { what, w, x, out, algorithm: chosen.algo })
    }

    /// # Safety
    /// Nobody uses them any more.
    unsafe fn release(self) {
        // SAFETY: they are ours, as the caller says.
        unsafe {
            for layout in [self.w, self.x, self.out] {
                let _ = result::destroy_matrix_layout(layout);
            }
            let _ = result::destroy_matmul_desc(self.what);
        }
    }
}
