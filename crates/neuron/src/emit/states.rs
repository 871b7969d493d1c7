//! Pages read and written. A state lies as slots one behind another, `[pool * S, ..]`: what is written goes straight
//! from the argument through one scatter to the result that takes its place.

use graph::{BackendError, Dim};
use hlo::Id;

use super::{Emitter, Site, element};

impl Emitter<'_> {
    /// The pages of each sequence, in table order, in the type they are kept in.
    pub(super) fn state_read(&mut self, state: Id, table: Id, site: &Site<'_>) -> Result<Id, BackendError> {
        element(site.of_args[0].dtype, || site.to_string())?;
        // The compiler gathers along one axis of one element per slice, so pages become rows.
        let pages = self.dims(&site.of_args[0].dims);
        let state = self.b.reshape(state, &pages);
        let read = self.b.rows(state, table);
        Ok(self.b.reshape(read, &self.dims(&site.ty.dims)))
    }

    /// Each row into its slot.
    pub(super) fn state_write(
        &mut self,
        state: Id,
        slots: Id,
        values: Id,
        site: &Site<'_>,
    ) -> Result<Id, BackendError> {
        element(site.of_args[0].dtype, || site.to_string())?;
        let dims = self.dims(&site.ty.dims);
        let flat = [&[dims[0] * dims[1]], &dims[2..]].concat();
        let state = self.b.reshape(state, &flat);
        let values = self.b.convert(values, self.b.element(state));
        let written = self.b.replace_rows(state, slots, values);
        let is_pool = matches!(site.ty.dims.first(), Some(Dim::Pool(_)));
        Ok(if is_pool { written } else { self.b.reshape(written, &dims) })
    }
}
