//! What texts say and how they vary.

use super::Detector;
use crate::limits::Limits;

/// The detectors of this family.
pub(super) fn detectors(_limits: &Limits) -> Vec<Box<dyn Detector>> {
    Vec::new()
}
