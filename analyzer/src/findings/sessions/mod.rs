//! How sessions and transactions are used.

use super::Detector;
use crate::limits::Limits;

/// The detectors of this family.
pub(super) fn detectors(_limits: &Limits) -> Vec<Box<dyn Detector>> {
    Vec::new()
}
