//! Which findings an operator has silenced.

use crate::finding::{Finding, Mute, MuteRule, MuteTarget};
use crate::record::Micros;
use std::sync::Arc;

/// Rules kept; a later one for the same target takes the place of the earlier one.
const RULES_MAX: usize = 10_000;

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mutes {
    rules: Vec<MuteRule>,
}

impl Mutes {
    pub(crate) fn new(rules: &[MuteRule]) -> Self {
        let mut mutes = Self::default();
        rules.iter().cloned().for_each(|rule| {
            mutes.add(rule);
        });
        mutes
    }

    /// Adds or replaces a rule; false where there is no room for one more.
    pub(crate) fn add(&mut self, rule: MuteRule) -> bool {
        if let Some(known) = self.rules.iter_mut().find(|known| known.target == rule.target) {
            *known = rule;
            return true;
        }
        let room = self.rules.len() < RULES_MAX;
        if room {
            self.rules.push(rule);
        }
        room
    }

    /// Takes a rule back; false where there was none.
    pub(crate) fn remove(&mut self, target: &MuteTarget) -> bool {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.target != *target);
        self.rules.len() < before
    }

    /// Why a finding that was seen on `routes` is silent at `now`, if it is. A rule for routes silences it only where
    /// rules cover every route that it was seen on.
    pub(crate) fn of<'a>(
        &self,
        finding: &Finding,
        routes: impl Iterator<Item = Option<&'a Arc<str>>>,
        now: Micros,
    ) -> Option<Mute> {
        if self.rules.is_empty() {
            return None;
        }
        let pair = pair_of(finding);
        let names_it = |rule: &&MuteRule| match &rule.target {
            MuteTarget::Finding(id) => *id == finding.id,
            MuteTarget::Pair { parent, child } => pair == Some((*parent, *child)),
            MuteTarget::Route(_) => false,
        };
        let direct = self.in_force(now).find(names_it);
        direct
            .or_else(|| self.of_routes(routes, now))
            .map(|rule| Mute { reason: rule.reason.clone(), until_unix_us: rule.until_unix_us })
    }

    fn in_force(&self, now: Micros) -> impl Iterator<Item = &MuteRule> {
        self.rules.iter().filter(move |rule| rule.until_us.is_none_or(|until| now < until))
    }

    fn of_routes<'a>(
        &self,
        routes: impl Iterator<Item = Option<&'a Arc<str>>>,
        now: Micros,
    ) -> Option<&MuteRule> {
        let mut first = None;
        for route in routes {
            let covers = |rule: &&MuteRule| {
                route.is_some_and(|route| matches!(&rule.target, MuteTarget::Route(pattern) if fits(pattern, route)))
            };
            let rule = self.in_force(now).find(covers)?;
            first = first.or(Some(rule));
        }
        first
    }
}

fn pair_of(finding: &Finding) -> Option<(u64, u64)> {
    Some((finding.parent.as_ref()?.digest, finding.child.as_ref()?.digest))
}

/// A route, or the beginning of routes before a `*` at the end.
fn fits(pattern: &str, route: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => route.starts_with(beginning),
        None => pattern == route,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, route, is) in [
            ("/orders", "/orders", true),
            ("/orders", "/orders/1", false),
            ("/orders*", "/orders/1", true),
            ("*", "/", true),
            ("", "/", false),
        ] {
            assert_eq!(fits(pattern, route), is, "{pattern} {route}");
        }
    }

    #[test]
    fn a_later_rule_replaces_an_earlier_one_and_can_be_taken_back() {
        let rule = |reason: &str| MuteRule {
            target: MuteTarget::Finding(7),
            reason: Arc::from(reason),
            ..MuteRule::default()
        };
        let mut mutes = Mutes::new(&[rule("a"), rule("b")]);
        assert_eq!(mutes.rules.len(), 1);
        assert_eq!(&*mutes.rules[0].reason, "b");
        assert!(mutes.remove(&MuteTarget::Finding(7)));
        assert!(!mutes.remove(&MuteTarget::Finding(7)));
    }
}
