//! Processor time and memory of this process, as Linux tells them.

/// Ticks of `/proc/self/stat` per second: USER_HZ, which is 100 in the kernel's interface on every architecture that
/// this program is built for, whatever the kernel's own clock is.
const TICKS_PER_SECOND: u32 = 100;

/// What this process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OwnUse {
    /// Seconds of processor time since start, in user and kernel mode.
    pub cpu_s: f64,
    /// Memory that is resident.
    pub resident_bytes: u64,
}

/// As it is now; nothing where there is no `/proc`.
pub(crate) fn now() -> Option<OwnUse> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(OwnUse { cpu_s: cpu_s(&stat)?, resident_bytes: resident_bytes(&status)? })
}

/// Fields 14 and 15; the second one, the program's name, may itself hold blanks and parentheses.
fn cpu_s(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some((f64::from(ticks()?) + f64::from(ticks()?)) / f64::from(TICKS_PER_SECOND))
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 7 8 20 0 3 0 9 1 2";
        assert_eq!(cpu_s(stat), Some(2.0));
        assert_eq!(cpu_s("42 (a) S 1"), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   2048 kB\nVmSwap:\t 0 kB"), Some(2 << 20));
        assert_eq!(resident_bytes("Name:\tx"), None);
    }

    #[test]
    fn this_process_takes_something() {
        assert!(now().is_some_and(|own| own.resident_bytes > 1 << 20 && own.cpu_s >= 0.0));
    }
}
