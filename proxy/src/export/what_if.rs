//! What findings would cost on another network: a test beside its database pays next to nothing for a round trip, and
//! production pays for each.

use super::shapes::{Cost, Report, is_proved};
use super::text::duration;
use crate::config::duration_us;
use std::str::FromStr;

/// Longest round trip that is believed, in milliseconds.
const RTT_MS_MAX: f64 = 10_000.0;

/// Another network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WhatIf {
    /// Its round trip, in milliseconds.
    rtt_ms: f64,
}

impl FromStr for WhatIf {
    type Err = String;

    /// `rtt=2ms`.
    fn from_str(text: &str) -> Result<Self, String> {
        let time = text.strip_prefix("rtt=").ok_or("it is rtt=TIME, as in rtt=2ms")?;
        #[allow(clippy::cast_precision_loss)]
        let rtt_ms = duration_us(time).map_err(|_| "it is rtt=TIME, as in rtt=500us or rtt=2ms")?
            as f64
            / 1e3;
        match rtt_ms <= RTT_MS_MAX {
            true => Ok(Self { rtt_ms }),
            false => Err(format!("a round trip takes {} at most", duration(RTT_MS_MAX))),
        }
    }
}

impl WhatIf {
    /// Puts the costs of that network into the report's findings, and says so.
    pub(crate) fn apply(self, report: &mut Report) {
        let findings = &mut report.findings.items;
        let measured: Vec<f64> = findings.iter().filter_map(|f| f.cost.rtt_ms).collect();
        findings.iter_mut().for_each(|finding| self.reckon(&mut finding.cost));
        let proved = findings.iter().filter(|f| f.state == "open" && is_proved(&f.proof));
        let known: Vec<f64> = proved.filter_map(|f| f.cost.saved_low_ms_per_hour).collect();
        if !known.is_empty() {
            report.summary.avoidable_ms_per_day = Some(known.iter().sum::<f64>() * 24.0);
        }
        let [least, most] = [f64::min as fn(f64, f64) -> f64, f64::max]
            .map(|of| measured.iter().copied().reduce(of).map_or("not known".to_owned(), duration));
        let measured = if least == most { least } else { format!("{least} to {most}") };
        report.notes.insert(
            0,
            format!(
                "What if a round trip took {}: the costs of findings are those of such a network \
                 (measured: {measured}). All other times are as they were measured.",
                duration(self.rtt_ms)
            ),
        );
    }

    /// Every spared round trip takes so much more, or less; the server's own work stays what it was.
    fn reckon(self, cost: &mut Cost) {
        #[allow(clippy::cast_precision_loss)]
        let more_ms = cost.round_trips as f64 * (self.rtt_ms - cost.rtt_ms.unwrap_or(0.0));
        let per_hour = cost.occurrences_per_hour.map(|times| times * more_ms);
        for saved_ms in [&mut cost.saved_low_ms, &mut cost.saved_high_ms] {
            *saved_ms = (*saved_ms + more_ms).max(0.0);
        }
        for saved in [&mut cost.saved_low_ms_per_hour, &mut cost.saved_high_ms_per_hour] {
            *saved = saved.zip(per_hour).map(|(ms, more)| (ms + more).max(0.0)).or(*saved);
        }
        if cost.round_trips > 0 {
            cost.rtt_ms = Some(self.rtt_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spared_round_trip_takes_its_time() {
        let cost = Cost {
            saved_low_ms: 5.0,
            saved_high_ms: 8.0,
            saved_low_ms_per_hour: Some(50.0),
            saved_high_ms_per_hour: Some(80.0),
            occurrences_per_hour: Some(10.0),
            round_trips: 50,
            rtt_ms: Some(0.1),
            ..Cost::default()
        };
        type Row<'a> = (&'a str, Cost, [f64; 2], [Option<f64>; 2]);
        let rows: [Row<'_>; 4] = [
            ("rtt=2100us", cost.clone(), [105.0, 108.0], [Some(1_050.0), Some(1_080.0)]),
            ("rtt=10us", cost.clone(), [0.5, 3.5], [Some(5.0), Some(35.0)]),
            (
                "rtt=2ms",
                Cost { round_trips: 0, ..cost.clone() },
                [5.0, 8.0],
                [Some(50.0), Some(80.0)],
            ),
            (
                "rtt=1ms",
                Cost { rtt_ms: None, saved_low_ms_per_hour: None, ..cost },
                [55.0, 58.0],
                [None, Some(580.0)],
            ),
        ];
        for (text, mut cost, saved, per_hour) in rows {
            text.parse::<WhatIf>().expect("a network").reckon(&mut cost);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(
                near(cost.saved_low_ms, saved[0]) && near(cost.saved_high_ms, saved[1]),
                "{text}"
            );
            let hours = [cost.saved_low_ms_per_hour, cost.saved_high_ms_per_hour];
            for (a, b) in hours.into_iter().zip(per_hour) {
                assert!(a.is_some() == b.is_some() && a.zip(b).is_none_or(|(a, b)| near(a, b)));
            }
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["2ms", "rtt", "rtt=", "rtt=fast", "rtt=-1ms", "rtt=1h", "bandwidth=1"] {
            assert!(text.parse::<WhatIf>().is_err(), "{text}");
        }
    }
}
