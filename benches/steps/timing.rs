//! Medians of repeated blocks of steps, and the memory that they leave.
//!
//! On a shared machine single steps scatter, and a mean would follow the worst of them.

use std::time::{Duration, Instant};

use relax_runtime::prelude::*;

/// How long to measure.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    /// Number of blocks.
    pub(crate) blocks: usize,
    /// Length of a block.
    pub(crate) block: Duration,
    /// At least so many steps in all.
    pub(crate) least_steps: u64,
}

/// What was measured of a job.
pub(crate) struct Measurement {
    /// Microseconds a step in the median block.
    pub(crate) median: f64,
    /// The same in the fastest block.
    pub(crate) least: f64,
    /// The same in the slowest block.
    pub(crate) greatest: f64,
    /// Steps taken in all.
    pub(crate) steps: u64,
    pub(crate) first_loss: f64,
    pub(crate) last_loss: f64,
    /// Unknown on systems that do not tell.
    pub(crate) memory: Option<Growth>,
}

/// Memory of the process, in KiB.
pub(crate) struct Growth {
    /// Resident after warming up.
    warm: i64,
    /// Resident in the end.
    pub(crate) resident: i64,
    /// The most that was ever resident.
    pub(crate) peak: i64,
}

impl Growth {
    /// What has been added since the job was warm.
    pub(crate) fn since_warm(&self) -> i64 {
        self.resident - self.warm
    }
}

/// Steps after which a job is warm, unless they take longer than [`LONGEST_WARMUP`].
const WARM: u64 = 100;
const LONGEST_WARMUP: Duration = Duration::from_secs(2);

/// Runs blocks of steps of equal length.
pub(crate) fn measure(
    step: &mut dyn FnMut() -> Result<f64>,
    setting: Setting,
) -> Result<Measurement> {
    let first_loss = step()?;
    let (mut steps, mut last_loss) = (1, first_loss);
    let started = Instant::now();
    while steps < WARM && started.elapsed() < LONGEST_WARMUP {
        last_loss = step()?;
        steps += 1;
    }
    let mut seconds_a_step = |count: u64| {
        let started = Instant::now();
        for _ in 0..count {
            last_loss = step()?;
        }
        steps += count;
        Ok::<_, Error>(started.elapsed().as_secs_f64() / count as f64)
    };
    let warm = status("VmRSS:");

    let target = setting.block.as_secs_f64();
    let mut count = 1;
    let mut pace = seconds_a_step(count)?;
    while pace * count as f64 * 4.0 < target {
        count *= 2;
        pace = seconds_a_step(count)?;
    }
    let count = ((target / pace).round() as u64).max(1);
    let needed = setting.least_steps.div_ceil(count);
    let mut blocks = Vec::new();
    while blocks.len() < setting.blocks || (blocks.len() as u64) < needed {
        blocks.push(seconds_a_step(count)? * 1e6);
    }
    blocks.sort_by(f64::total_cmp);
    let memory =
        warm.zip(status("VmRSS:"))
            .zip(status("VmHWM:"))
            .map(|((warm, resident), peak)| Growth {
                warm,
                resident,
                peak,
            });
    Ok(Measurement {
        median: blocks[blocks.len() / 2],
        least: blocks[0],
        greatest: blocks[blocks.len() - 1],
        steps,
        first_loss,
        last_loss,
        memory,
    })
}

/// A field of Linux's account of the process, in KiB.
fn status(field: &str) -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
