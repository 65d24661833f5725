//! The flame tree as folded stacks and for speedscope.

use crate::export::shapes::Flame;
use crate::export::text::clean;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One leaf: the names from the service down, and its time.
type Stack = (Vec<String>, u64);

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn us(ms: f64) -> u64 {
    (ms * 1e3).round().max(0.0) as u64
}

fn stacks(node: &Flame, above: &[String], out: &mut Vec<Stack>) {
    for child in &node.children {
        let mut names = above.to_vec();
        names.push(clean(&child.name));
        if child.children.is_empty() {
            out.push((names, us(child.value_ms)));
        } else {
            stacks(child, &names, out);
        }
    }
}

fn leaves(flame: &Flame) -> Vec<Stack> {
    let mut out = Vec::new();
    stacks(flame, &[], &mut out);
    out
}

/// A line per stack: `service;route;statement;phase microseconds`. A `;` in a name becomes a comma.
pub(crate) fn folded(flame: &Flame) -> String {
    let line = |(names, us): &Stack| {
        let names: Vec<String> = names.iter().map(|name| name.replace(';', ",")).collect();
        format!("{} {us}\n", names.join(";"))
    };
    leaves(flame).iter().filter(|(_, us)| *us > 0).map(line).collect()
}

/// The file format of speedscope: one sampled profile whose weights are microseconds.
pub(crate) fn speedscope(flame: &Flame) -> Value {
    let mut frames: BTreeMap<String, usize> = BTreeMap::new();
    let mut names: Vec<Value> = Vec::new();
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for (stack, us) in leaves(flame).into_iter().filter(|(_, us)| *us > 0) {
        let place = |name: String| {
            *frames.entry(name).or_insert_with_key(|name| {
                names.push(json!({ "name": name }));
                names.len() - 1
            })
        };
        samples.push(stack.into_iter().map(place).collect::<Vec<usize>>());
        weights.push(us);
    }
    json!({
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": concat!("pgsonde ", env!("CARGO_PKG_VERSION")),
        "name": "database time",
        "activeProfileIndex": 0,
        "shared": { "frames": names },
        "profiles": [{
            "type": "sampled",
            "name": "database time",
            "unit": "microseconds",
            "startValue": 0,
            "endValue": weights.iter().sum::<u64>(),
            "samples": samples,
            "weights": weights,
        }],
    })
}
