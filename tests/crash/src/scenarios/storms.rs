//! Power cuts and kills under load, and the control that shows that a node without syncs would be caught.

use crate::Options;
use crate::load::Cast;
use crate::native;
use crate::storm::{Figures, Kind, Storm};
use conformance::fault::{Fault, ensure, fail};
use conformance::rig::Scene;

/// Cuts until a node whose syncs do nothing must have lost something. One is enough as a rule.
const LIAR_CUTS: u32 = 6;
/// Storms until then: metadata that is lost too may keep a node from starting.
const LIAR_STORMS: u64 = 5;

fn storm(scene: &Scene<'_>, options: &Options, kind: Kind, blows: u32) -> Result<Figures, Fault> {
    let cast = Cast { partitions: options.partitions, width: options.width(), ..Cast::default() };
    let storm = Storm { folder: &scene.folder, kind, blows, seed: options.seed, cast, through: Vec::new() };
    let figures = storm.run()?;
    scene.figure(&format!("{}; seed {}", figures.line(), options.seed));
    Ok(figures)
}

fn sound(figures: &Figures) -> Result<(), Fault> {
    ensure(figures.anomalies.is_empty(), || figures.anomalies.join("\n    "))
}

/// Power cuts on ext4 (EXT4_IOC_SHUTDOWN), with the node running or stopped, the journal kept or lost, files torn by write-back or not.
pub(super) fn power_cuts(scene: &Scene<'_>, options: &Options) -> Result<(), Fault> {
    native::powercut()?;
    sound(&storm(scene, options, Kind::Cuts, options.cuts)?)
}

/// R20, R31: kill -9 with the pipelines full; the page cache is kept, so acks=1 must hold too.
pub(super) fn kills(scene: &Scene<'_>, options: &Options) -> Result<(), Fault> {
    sound(&storm(scene, options, Kind::Kills, options.kills)?)
}

/// The same cuts with every sync a lie: the checker must miss acked records, or the cuts cut nothing.
pub(super) fn without_syncs(scene: &Scene<'_>, options: &Options) -> Result<(), Fault> {
    native::powercut()?;
    let through = vec![native::liar()?];
    let cast = Cast { topics: false, groups: 0, ..Cast::default() };
    let mut said = Vec::new();
    for seed in (0..LIAR_STORMS).map(|n| options.seed + n) {
        let through = through.clone();
        let storm = Storm { folder: &scene.folder, kind: Kind::Cuts, blows: LIAR_CUTS, seed, cast, through };
        match storm.run() {
            Ok(figures) if figures.lost > 0 => {
                scene.figure(&format!("noticed after {} cuts: {} records lost", figures.blows, figures.lost));
                return Ok(());
            }
            Ok(figures) => said.push(figures.line()),
            // A node that does not start on what is left has been caught too, but not by the checker.
            Err(Fault::Failed(why)) => said.push(why),
            Err(skipped) => return Err(skipped),
        }
    }
    fail(format!("power cuts without a sync, and the checker missed nothing: {}", said.join("; ")))
}
