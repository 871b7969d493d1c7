//! The cases, one file per family of operations.

mod attention;
mod by_hand;
mod elementwise;
mod experts;
mod fused;
mod layout;
mod products;
mod rows;
mod simple;
mod state;

use super::Case;

/// Every case there is.
pub fn all() -> Vec<Case> {
    let families = [
        elementwise::cases,
        layout::cases,
        products::cases,
        rows::cases,
        state::cases,
        simple::cases,
        attention::cases,
        experts::cases,
        fused::cases,
        by_hand::cases,
    ];
    families.iter().flat_map(|family| family()).collect()
}
