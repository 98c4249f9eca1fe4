//! Names and memory of records.

use super::*;
use crate::dist::Bernoulli;
use crate::model::{Simulation, Site};
use crate::plumbing::model;

/// However many sites there are, each is found, and no name is accepted twice.
#[test]
fn names_are_found_before_and_after_they_are_indexed() -> Result<()> {
    for count in [1, FEW, FEW + 1, 3 * FEW] {
        let program = model("program", |context| {
            (0..count).try_for_each(|i| {
                let site = Site::new("x", file!(), line!()).iteration(i);
                context.sample(site, Bernoulli::probs(0.5)).map(drop)
            })
        });
        let mut trace = Simulation::seeded(1).run(&program)?.trace;
        for (i, entry) in trace.entries().iter().enumerate() {
            assert_eq!(entry.name, format!("x[{i}]"));
            let found = trace.find(&entry.name).unwrap();
            assert!(std::ptr::eq(found, entry), "{i} of {count}");
        }
        assert!(trace.find("x").is_none() && trace.find(&format!("x[{count}]")).is_none());
        for entry in trace.entries().to_vec() {
            let error = trace.push(entry).unwrap_err().to_string();
            assert!(error.contains("a second site is named"), "{error}");
        }
        assert_eq!(trace.entries().len(), count);
    }
    Ok(())
}

/// A name whose key is taken by another name.
#[test]
fn names_with_the_same_hash_are_told_apart() -> Result<()> {
    let count = 2 * FEW;
    let program = model("program", |context| {
        (0..=count).try_for_each(|i| {
            let site = Site::new("x", file!(), line!()).iteration(i);
            context.sample(site, Bernoulli::probs(0.5)).map(drop)
        })
    });
    let mut trace = Simulation::seeded(1).run(&program)?.trace;
    let last = trace.entries.pop().expect("the last one");
    let mut places = Places::default();
    let key = |name: &str| FxBuildHasher.hash_one(name);
    places.insert(key(&last.name), 0);
    let others = trace.entries.iter().enumerate().skip(1);
    places.extend(others.map(|(place, entry)| (key(&entry.name), place)));
    trace.places = places;
    assert!(trace.find(&last.name).is_none());
    trace.push(last.clone())?;
    assert_eq!(
        trace.find(&last.name).expect("it was added").name,
        last.name
    );
    assert!(trace.push(last).is_err());
    Ok(())
}

/// The memory of a trace is reused, and shows nothing of it.
#[test]
fn records_leave_their_memory_and_nothing_else() -> Result<()> {
    let program = model("program", |context| {
        (0..3 * FEW).try_for_each(|i| {
            let site = Site::new("x", file!(), line!()).iteration(i);
            context.sample(site, Bernoulli::probs(0.5)).map(drop)
        })
    });
    let trace = Simulation::seeded(1).run(&program)?.trace;
    let mut names = Vec::new();
    trace.clone().take_apart(|entry| {
        names.push(entry.name.clone());
        Ok(())
    })?;
    assert_eq!(names.len(), 3 * FEW);
    let mut next = Trace::in_spare_memory();
    assert!(next.entries.capacity() >= names.len());
    assert!(next.entries.is_empty() && next.places.is_empty() && next.find("x[3]").is_none());
    trace
        .entries
        .into_iter()
        .try_for_each(|entry| next.push(entry))
}
