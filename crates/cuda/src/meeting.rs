//! Ranks that meet in one process: what they do together where no link between their devices does it.
//!
//! Sums add up in the order of ranks, so that all of them get the same bits every time. Nobody waits for ever: a rank that
//! leaves, or is dropped, ends the meeting for all.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::driver::{Call, Collective, CollectiveCall, Driver, Fault, Memory};

/// Numbers by which ranks get acquainted: whole ones, whose sums are exact.
const NUMBERS: usize = 1000;

/// What ranks share.
struct Meeting {
    held: Mutex<Held>,
    changed: Condvar,
}

struct Held {
    /// What each rank has brought to the round that goes on.
    brought: Vec<Option<(Collective, Vec<f32>)>>,
    /// What each rank has not taken yet of the round before.
    results: Vec<Option<Arc<[f32]>>>,
    /// Why there are no more rounds.
    over: Option<String>,
}

/// A rank's seat in a meeting; who drops it leaves.
pub struct Seat {
    meeting: Arc<Meeting>,
    rank: usize,
}

/// The seats of a meeting of so many ranks.
pub fn meeting(ranks: usize) -> Vec<Seat> {
    let none = Held { brought: vec![None; ranks], results: vec![None; ranks], over: None };
    let meeting = Arc::new(Meeting { held: Mutex::new(none), changed: Condvar::new() });
    (0..ranks).map(|rank| Seat { meeting: Arc::clone(&meeting), rank }).collect()
}

impl Seat {
    /// How many ranks meet.
    pub fn ranks(&self) -> usize {
        self.held().brought.len()
    }

    /// Waits until every rank has brought as much, and gives what becomes of it: see [`Collective`].
    pub fn meet(&self, what: Collective, mine: &[f32]) -> Result<Arc<[f32]>, Fault> {
        let mut held = self.held();
        if held.brought[self.rank].is_some() {
            held.end(format!("rank {} came twice", self.rank));
        } else {
            held.brought[self.rank] = Some((what, mine.to_vec()));
            held.settle();
        }
        self.meeting.changed.notify_all();
        loop {
            if let Some(result) = held.results[self.rank].take() {
                return Ok(result);
            }
            if let Some(why) = &held.over {
                return Err(Fault::Left(why.clone()));
            }
            held = self.meeting.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the meeting: whoever waits, or comes later, is told why.
    pub fn leave(&self, why: &str) {
        self.held().end(format!("rank {} left: {why}", self.rank));
        self.meeting.changed.notify_all();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.meeting.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave("it was dropped");
    }
}

impl Held {
    /// The first reason is the one that counts.
    fn end(&mut self, why: String) {
        self.over.get_or_insert(why);
    }

    /// Does what the ranks are here for, once all of them are.
    fn settle(&mut self) {
        if self.over.is_some() || self.brought.iter().any(Option::is_none) {
            return;
        }
        let (whats, parts): (Vec<_>, Vec<_>) = self.brought.iter_mut().filter_map(Option::take).unzip();
        let alike = whats.iter().all(|what| *what == whats[0])
            && parts.iter().all(|part| part.len() == parts[0].len());
        if !alike {
            let each = whats.iter().zip(&parts).map(|(what, part)| format!("{what:?} of {}", part.len()));
            return self.end(format!("ranks do not do the same: {}", each.collect::<Vec<_>>().join(", ")));
        }
        let result: Arc<[f32]> = match whats[0] {
            Collective::Sum => summed(&parts).into(),
            Collective::Gather => parts.concat().into(),
        };
        self.results.fill(Some(result));
    }
}

fn summed(parts: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = vec![0.0; parts[0].len()];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    sum
}

/// Tells the other ranks where the thread of this one panics.
pub(crate) struct Leaving<'a>(pub &'a dyn Driver);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.leave("its thread panicked");
        }
    }
}

/// Lets devices that compute together do all that they ever will, on numbers whose sum is known: what is not right between
/// them is found before a model is loaded, and links that are made when they are first used are made.
pub fn acquaint(drivers: &[Arc<dyn Driver>]) -> Result<(), Fault> {
    let ranks = drivers.len();
    let told = thread::scope(|scope| {
        let meet = |(rank, driver): (usize, &Arc<dyn Driver>)| {
            let driver = Arc::clone(driver);
            scope.spawn(move || {
                let _leaving = Leaving(&*driver);
                let met = sum_and_gather(&driver, rank, ranks);
                met.inspect_err(|fault| driver.leave(&fault.to_string()))
            })
        };
        let threads = drivers.iter().enumerate().map(meet).collect::<Vec<_>>();
        let gone = || Err(Fault::Failed("its thread panicked".to_owned()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| gone())).collect::<Vec<_>>()
    });
    for (rank, told) in told.into_iter().enumerate() {
        if told? {
            continue;
        }
        return Err(Fault::Failed(format!(
            "rank {rank} is given other sums than those of the numbers that ranks sent: its link to the others is broken; \
             NCCL_P2P_DISABLE=1 goes around it through the host"
        )));
    }
    Ok(())
}

/// Whether what ranks sum and gather of small whole numbers is right to the bit, played and captured.
fn sum_and_gather(driver: &Arc<dyn Driver>, rank: usize, ranks: usize) -> Result<bool, Fault> {
    let number = |rank: usize, place: usize| (rank * NUMBERS + place) as f32;
    let of = |rank: usize| (0..NUMBERS).map(move |place| number(rank, place));
    let sum = |place: usize| (0..ranks).map(|rank| number(rank, place)).sum::<f32>();
    let wanted =
        (0..NUMBERS).map(sum).chain((0..ranks).flat_map(of)).flat_map(f32::to_le_bytes).collect::<Vec<_>>();
    let mine = of(rank).flat_map(f32::to_le_bytes).collect::<Vec<_>>();
    let places = Memory::new(driver, mine.len() + wanted.len())?;
    places.write(0, &mine)?;
    let at = |run: usize, runs: usize| places.at(run * mine.len(), runs * mine.len());
    let call = |what, to| Call::Collective(CollectiveCall { what, to, from: at(0, 1), count: NUMBERS });
    let calls = [call(Collective::Sum, at(1, 1)), call(Collective::Gather, at(2, ranks))];
    let is_right = || {
        let mut told = vec![0; wanted.len()];
        places.read(mine.len(), &mut told)?;
        places.write(mine.len(), &vec![0; wanted.len()])?;
        Ok::<_, Fault>(told == wanted)
    };
    // SAFETY: `at` checked that all of it lies within the allocation, which stays until it is read.
    unsafe { driver.play(&calls) }?;
    let played = is_right()?;
    // SAFETY: as above; it is dropped before the allocation is.
    let captured = unsafe { driver.capture(&calls) }?;
    // SAFETY: as above.
    let replayed = unsafe { driver.replay(captured) }.and_then(|()| is_right());
    driver.drop_graph(captured);
    Ok(played && replayed?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each rank does in a thread of its own, the last rank first.
    fn each<T: Send>(seats: Vec<Seat>, act: impl Fn(usize, Seat) -> T + Sync) -> Vec<T> {
        thread::scope(|scope| {
            let act = &act;
            let threads =
                seats.into_iter().enumerate().rev().map(|(rank, seat)| scope.spawn(move || act(rank, seat)));
            let threads = threads.collect::<Vec<_>>();
            let mut done =
                threads.into_iter().map(|thread| thread.join().expect("no rank panics")).collect::<Vec<_>>();
            done.reverse();
            done
        })
    }

    #[test]
    fn ranks_sum_in_their_order_and_gather_in_it() {
        // Only from the first to the last is this sum three: 1e8 swallows what it meets.
        let parts: [&[f32]; 4] = [&[1e8, 1.0], &[-1e8, 2.0], &[1.0, 3.0], &[2.0, 4.0]];
        let told = each(meeting(4), |rank, seat| {
            let rounds =
                (0..100).map(|_| seat.meet(Collective::Sum, parts[rank]).expect("all come").to_vec());
            (
                rounds.collect::<Vec<_>>(),
                seat.meet(Collective::Gather, parts[rank]).expect("all come").to_vec(),
                seat,
            )
        });
        for (sums, gathered, _) in &told {
            assert!(sums.iter().all(|sum| *sum == [3.0, 10.0]), "{sums:?}");
            assert_eq!(*gathered, parts.concat());
        }
    }

    #[test]
    fn who_leaves_or_is_dropped_ends_the_meeting_for_all() {
        for (dropped, why) in
            [(false, "rank 2 left: its device is lost"), (true, "rank 2 left: it was dropped")]
        {
            let told = each(meeting(3), |rank, seat| {
                let first = seat.meet(Collective::Sum, &[1.0]).expect("all come").to_vec();
                assert_eq!(first, [3.0]);
                match (rank, dropped) {
                    (2, true) => return None,
                    (2, false) => seat.leave("its device is lost"),
                    _ => {}
                }
                // Those who wait already, and who comes too late.
                Some(seat.meet(Collective::Sum, &[1.0]).expect_err("one is not there"))
            });
            let told = told.into_iter().flatten().collect::<Vec<_>>();
            assert_eq!(told.len(), if dropped { 2 } else { 3 });
            assert!(told.iter().all(|fault| *fault == Fault::Left(why.to_owned())), "{told:?}");
        }
    }

    #[test]
    fn ranks_that_do_not_do_the_same_are_told() {
        for (what, count) in [(Collective::Gather, 1), (Collective::Sum, 2)] {
            let told = each(meeting(2), |rank, seat| {
                let (what, count) = if rank == 0 { (Collective::Sum, 1) } else { (what, count) };
                (seat.meet(what, &vec![0.0; count]), seat)
            });
            for (fault, _) in &told {
                assert!(
                    matches!(fault, Err(Fault::Left(why)) if why.contains("do not do the same")),
                    "{fault:?}"
                );
            }
        }
    }
}
