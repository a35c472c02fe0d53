//! Traces: small stories about one or more machines and a register, in virtual time.
//!
//! A file of `testdata` holds stories; a block `begin` starts one in a fresh world and `then` goes on in
//! it. The lines below it are commands, and what everybody did, and why a candidate did *not* act, is
//! the expected output. There is no jitter without a seed, and each request takes 10 ms there and 10 ms back.
//!
//! | command | what happens |
//! |---|---|
//! | `node a lease=15s renew=10s retry=2s [watch] [strict] [tick=1s] [epoch=1] [drain=25s] [attempt=2s] [as=x] [phase=0s] [seed=1]` | a candidate starts, under the identity `x` |
//! | `run 20s`, `skip 20s` | time passes; `skip` prints only what matters to people |
//! | `lose-request a`, `lose-reply a` | the next request is lost, or applied and its reply lost |
//! | `hold-write a`, `hold-reply a` | the next write, or the next reply, is held back |
//! | `apply a`, `deliver a` | a held write arrives at the store; a held reply arrives |
//! | `refuse a denied [retry-after=30s] [applied] [times=3]` | the next request, or the next three, fail so; with `applied` although it was done |
//! | `cut a`, `heal a` | nothing of `a` gets through, or everything again |
//! | `delete`, `edit holder=x duration=4s renew=now epoch=1 released=a/0 ...`, `label`, `peer-release`, `corrupt` | done to the record by hand or by others; `holder=` empties it |
//! | `restore 3`, `rollback 3` | an older record written anew; the whole store taken back |
//! | `request [to=b] [term=other]` | an operator asks the holder to hand over |
//! | `drained a`, `work-ended a`, `resign a [to=b]`, `shutdown a`, `check a`, `crash a` | what its application does |
//! | `watch-lost a`, `mute a` | its watch breaks, or tells nothing any more without saying so |
//! | `hint a 3`, `hint a deleted` | its watch repeats a record of the past, or tells of a deletion that never was |
//! | `stall a`, `resume a`, `suspend a 30s` | its driver is starved; its machine sleeps |
//! | `clock a wall=+1h`, `wall=stop`, `wall=1969` | its wall clock jumps or stands still |
//! | `explain a`, `show` | what it is about and why; the record |
//!
//! `REWRITE=1` writes the outputs. They are then to be read as critically as code.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests fail")]
#![allow(clippy::format_push_string, reason = "a sentence grows by clauses, and no trace is long")]

mod command;
mod store;
mod words;
mod world;

use world::World;

#[test]
fn every_story_goes_as_the_protocol_demands() {
    datadriven::walk("testdata", |file| {
        let mut world = World::default();
        file.run(|case| -> String {
            match case.directive.as_str() {
                "begin" => world = World::default(),
                "then" => {}
                other => panic!("{other}: a block is `begin` or `then`"),
            }
            for line in case.input.lines() {
                command::perform(&mut world, line);
            }
            world.take_output()
        });
    });
}
