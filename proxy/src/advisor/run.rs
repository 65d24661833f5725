//! One run of the advisor over one database: lines in, a report out. The same for a file and for live traffic.

use super::explain::{self, Probes};
use super::hypopg::{self, HypoPg};
use super::proof::{Proof, Unavailable};
use super::shadow::{Place, Shadow, Tiered};
use super::side::{OneSelect, Side, SideError};
use super::values;
use super::workload_file::Line;
use crate::export::advice as output;
use pgsonde_advisor::advice::{self, Report};
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::facts::{Operation, StatementFacts};
use pgsonde_advisor::formula::Formula;
use pgsonde_advisor::workload::{self, Digest, Sample, Workload};
use pgsonde_analyzer::digest::grammar::Grammar;
use pgsonde_analyzer::digest::grammar::scans::Names;
use pgsonde_analyzer::text;
use pgsonde_analyzer::value::Salt;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// Samples of a digest.
const SAMPLES_MAX: usize = 3;
/// Texts of a digest that are planned to find the costliest.
const TRIED_MAX: usize = 8;
/// Texts of a digest that are looked at for constants.
const TEXTS_MAX: usize = 200;

/// How a run looks for proof.
pub(super) struct Terms {
    /// All new indexes together, bytes; `None` = by the size of the database.
    pub(super) budget_bytes: Option<u64>,
    /// Who plans candidates.
    pub(super) what_if: WhatIf,
    /// EXPLAINs with candidates.
    pub(super) explains_max: usize,
}

/// Who plans candidates.
pub(super) enum WhatIf {
    /// Nobody: arithmetic.
    Off,
    /// A shadow, made here.
    Shadow(Place),
    /// The target's own planner, by HypoPG.
    HypoPg,
}

/// Predicates and expressions of existing indexes in the parser's normal text.
pub(super) fn normalise(catalog: &mut Catalog, grammar: &Grammar) {
    for relation in catalog.relations.values_mut() {
        for index in &mut relation.indexes {
            if let Some(predicate) = &index.predicate {
                index.predicate_conjuncts = grammar.normal_conjuncts(predicate).unwrap_or_default();
            }
            for key in index.keys.iter_mut().filter(|key| key.column.is_none()) {
                key.normal = grammar.normal_expression(&key.text);
            }
        }
    }
}

/// Names as the session's search_path resolves them.
struct CatalogNames<'a> {
    catalog: &'a Catalog,
    path: &'a [String],
}

impl Names for CatalogNames<'_> {
    fn columns(&self, schema: Option<&str>, relation: &str) -> Option<Vec<String>> {
        let found = self.catalog.find(schema, relation, self.path)?;
        Some(found.columns.iter().map(|column| column.name.clone()).collect())
    }

    fn view(&self, schema: Option<&str>, relation: &str) -> Option<String> {
        let found = self.catalog.find(schema, relation, self.path)?;
        found.view.clone().filter(|_| found.kind == 'v')
    }
}

/// The texts of one digest with their calls.
#[derive(Default)]
struct Group {
    redacted: String,
    texts: BTreeMap<String, f64>,
    calls: f64,
}

/// A statement that the server can plan.
struct Filled {
    select: OneSelect,
    facts: StatementFacts,
    assumed_values: bool,
}

/// Nothing gives a parameter a value.
struct NoValue;

/// A database that is being looked at.
pub(super) struct Session {
    pub(super) side: Side,
    pub(super) grammar: Grammar,
    pub(super) catalog: Catalog,
    pub(super) notes: Vec<String>,
    /// Why no planner tries what is advised, and the remedy.
    pub(super) unverified: Option<(String, String)>,
}

impl Session {
    /// The lines by statement, with plans of today.
    pub(super) fn workload(&mut self, lines: &[Line]) -> Workload {
        let mut groups: BTreeMap<u64, Group> = BTreeMap::new();
        let mut order: Vec<u64> = Vec::new();
        for line in lines {
            let info = text::read(line.text.as_bytes(), &Salt::new(0, 0));
            let Some(part) = info.parts.first() else { continue };
            let analysed = self.grammar.analyse(&part.parser_text);
            let key = analysed.map_or(part.shape, |analysed| analysed.fingerprint);
            let group = groups.entry(key).or_insert_with(|| {
                order.push(key);
                Group { redacted: part.redacted.clone(), ..Group::default() }
            });
            group.calls += line.calls;
            *group.texts.entry(line.text.clone()).or_insert(0.0) += line.calls;
        }
        let mut workload = Workload::default();
        for key in order {
            if let Some(group) = groups.remove(&key) {
                self.add_digest(&mut workload, key, &group);
            }
        }
        workload.writes.sort_by_key(|(oid, _)| *oid);
        for mut sample in advice::foreign_key_samples(&self.catalog, &workload) {
            let select = OneSelect::checked(&self.grammar, &sample.select);
            sample.base =
                select.and_then(|select| explain::base_plan(&mut self.side, &select).ok());
            workload.samples.push(sample);
        }
        workload
    }

    fn facts(&self, text: &str) -> Option<StatementFacts> {
        let names = CatalogNames { catalog: &self.catalog, path: &self.side.search_path };
        self.grammar.scans(text, &names)
    }

    fn add_digest(&mut self, workload: &mut Workload, key: u64, group: &Group) {
        let mut texts: Vec<(&String, f64)> =
            group.texts.iter().map(|(text, calls)| (text, *calls)).collect();
        texts.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(other.0)));
        let Some(facts) = texts.first().and_then(|(text, _)| self.facts(text)) else { return };
        if facts.operation == Operation::Other {
            return;
        }
        let digest = workload.digests.len();
        workload.digests.push(Digest {
            id: format!("{key:016x}"),
            text: group.redacted.clone(),
            calls: group.calls,
            operation: facts.operation,
            constants: self.constants(&texts, group.calls),
        });
        let samples = self.samples(&texts, digest, &group.redacted);
        let covered: f64 = samples.iter().map(|sample| sample.weight).sum();
        let rows =
            samples.first().and_then(|sample| sample.base.as_ref()).map_or(1.0, |plan| plan.rows);
        for mut sample in samples {
            sample.weight *= group.calls / covered.max(f64::MIN_POSITIVE);
            workload.samples.push(sample);
        }
        let values: f64 = texts.iter().take(TEXTS_MAX).map(|(_, calls)| calls).sum();
        for (text, calls) in texts.iter().take(TEXTS_MAX) {
            if let Some(facts) = self.facts(text) {
                let calls = calls * group.calls / values.max(1.0);
                workload.add_writes(&self.catalog, &facts, &self.side.search_path, calls, rows);
            }
        }
    }

    /// Share of calls by text of a conjunct.
    fn constants(&self, texts: &[(&String, f64)], calls: f64) -> Vec<(String, f64)> {
        let mut shares: BTreeMap<String, f64> = BTreeMap::new();
        for (text, count) in texts.iter().take(TEXTS_MAX) {
            let scans = self.facts(text).map(|facts| facts.scans).unwrap_or_default();
            for text in scans
                .iter()
                .flat_map(|scan| &scan.predicates)
                .filter_map(|predicate| predicate.text.as_ref())
            {
                *shares.entry(text.clone()).or_insert(0.0) += count / calls;
            }
        }
        shares.into_iter().collect()
    }

    /// The most frequent text, the costliest of the next, and one from the middle.
    fn samples(&mut self, texts: &[(&String, f64)], digest: usize, redacted: &str) -> Vec<Sample> {
        let mut found: Vec<Sample> = Vec::new();
        let mut tried: Vec<(&String, f64)> = texts.iter().take(TRIED_MAX - 1).copied().collect();
        if texts.len() >= TRIED_MAX {
            tried.push(texts[texts.len() / 2]);
        }
        for (text, calls) in tried {
            found.extend(self.sample(text, calls, digest, redacted));
        }
        if found.len() > SAMPLES_MAX {
            let last = found.pop();
            let rest = found.split_off(1);
            let cost = |sample: &Sample| sample.base.as_ref().map_or(0.0, |plan| plan.cost);
            let costliest = rest.into_iter().max_by(|one, other| cost(one).total_cmp(&cost(other)));
            found.extend(costliest.into_iter().chain(last));
        }
        found
    }

    /// The plan of the first line that can be planned; with whether its values were assumed.
    pub(super) fn plan_now(
        &mut self,
        lines: &[Line],
    ) -> Option<Result<(serde_json::Value, bool), SideError>> {
        let Filled { select, assumed_values, .. } =
            lines.iter().find_map(|line| self.filled(&line.text).ok().flatten())?;
        Some(self.side.explain_with_settings(&select).map(|json| (json, assumed_values)))
    }

    /// The statement with a value for each parameter; `None` where it reads nothing.
    fn filled(&self, text: &str) -> Result<Option<Filled>, NoValue> {
        let Some(mut facts) = self.facts(text) else { return Ok(None) };
        let mut text = text.to_owned();
        let assumed_values = facts.parameters;
        if assumed_values {
            text = values::filled(&self.catalog, &facts, &self.side.search_path, &text)
                .ok_or(NoValue)?;
            facts = self.facts(&text).ok_or(NoValue)?;
        }
        // nothing is read by INSERT … VALUES
        let select = OneSelect::checked(&self.grammar, &text);
        Ok(select.map(|select| Filled { select, facts, assumed_values }))
    }

    fn sample(&mut self, text: &str, weight: f64, digest: usize, redacted: &str) -> Option<Sample> {
        let Ok(filled) = self.filled(text) else {
            self.note(format!(
                "`{redacted}` has parameters that nothing gives a value for: skipped"
            ));
            return None;
        };
        let Filled { select, facts, assumed_values } = filled?;
        let scans = workload::bind(&self.catalog, &facts, &self.side.search_path);
        match explain::base_plan(&mut self.side, &select) {
            Ok(plan) => Some(Sample {
                digest,
                weight,
                select: select.into_text(),
                scans,
                base: Some(plan),
                foreign_key_of: None,
                assumed_values,
            }),
            Err(SideError::Server { code, .. }) => {
                self.note(format!(
                    "the server could not plan `{redacted}` (SQLSTATE {code}): skipped"
                ));
                None
            }
            Err(error) => {
                self.note(format!("`{redacted}` was not planned: {error}"));
                None
            }
        }
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Verdicts, candidates, selection; and what the planner's answers are worth.
    pub(super) fn report(
        &mut self,
        workload: &Workload,
        terms: &Terms,
    ) -> (Report, Option<output::Verification>) {
        let begun = Instant::now();
        let room = advice::room(&self.catalog, terms.budget_bytes);
        let mut known = HashMap::new();
        let search_path = self.side.search_path.clone();
        let Self { side, grammar, catalog, .. } = self;
        let mut probes = Probes { side, grammar, catalog, workload, known: &mut known };
        let gathered = advice::gather(catalog, workload, &mut probes);
        let specs = gathered.specs;
        let nobody = WhatIf::Off;
        let what_if = if specs.is_empty() { &nobody } else { &terms.what_if };
        let (shadow, hypopg) = match what_if {
            WhatIf::Off => (Ok(None), None),
            WhatIf::Shadow(place) => {
                (Shadow::build(catalog, workload, &search_path, place).map(Some), None)
            }
            WhatIf::HypoPg => match catalog.extension(hypopg::EXTENSION) {
                Some(found) => (Ok(None), Some(&found.schema)),
                None => (Err(hypopg::not_installed()), None),
            },
        };
        let formula = Formula::new(catalog, workload, probes);
        let explains_max = terms.explains_max;
        let (mut report, mut proof) = if let Some(schema) = hypopg {
            let mut planner = HypoPg::new(formula, schema, catalog, workload, explains_max);
            let report = advice::run(catalog, workload, &specs, &mut planner, room);
            (report, planner.proof())
        } else {
            let (shadow, lost) = shadow.map_or_else(|lost| (None, Some(lost)), |made| (made, None));
            let mut planner =
                Tiered::new(shadow, formula, catalog, workload, grammar, explains_max);
            let report = advice::run(catalog, workload, &specs, &mut planner, room);
            let proof = planner.proof();
            (report, Proof { lost: proof.lost.or(lost), ..proof })
        };
        report.notes = gathered.notes;
        report.verdicts = gathered.verdicts;
        if let Some(Unavailable { why, remedy }) = proof.lost.take() {
            report.notes.push(unverified(&why, &remedy));
            self.unverified = Some((why, remedy));
        }
        let effort = output::Effort {
            shadow_build: proof.built_in,
            what_if_explains: proof.explained,
            target_explains: self.side.explained,
            selection: begun.elapsed(),
        };
        (report, proof.verification(workload, effort))
    }
}

fn unverified(why: &str, remedy: &str) -> String {
    let remedy = if remedy.is_empty() { String::new() } else { format!(" To verify: {remedy}.") };
    format!("the advice is estimated only, no planner has tried it: {why}.{remedy}")
}
