//! Programs of several ranks, each on a core of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use hlo::{Binary, Builder, Element, Module, Op};
use lab::{LONG, Lab, adding, f32s};
use nrt::{Rank, Runtime, Status, TensorSet};

/// The sum of all ranks' `x`, and all of them one behind another.
fn together(ranks: usize) -> Module {
    let groups = vec![(0..ranks).collect::<Vec<_>>()];
    let mut b = Builder::new();
    let x = b.input("x", f32s(&[2]));
    let computation = b.fold(Binary::Add, Element::F32);
    let sum = b.push(Op::AllReduce { groups: groups.clone(), computation }, &[x]);
    let all = b.push(Op::AllGather { dimension: 0, groups }, &[x]);
    b.finish("together", &[("sum", sum), ("all", all)], &[])
}

/// What a rank computes from its number: the sum, then all.
fn rank(runtime: &Runtime, neff: &[u8], rank: Rank) -> Result<(Vec<f32>, Vec<f32>), nrt::Error> {
    let core = runtime.core(rank.index)?;
    let model = core.load(neff, Some(rank))?;
    let (mut inputs, mut outputs) = (TensorSet::new(&core)?, TensorSet::new(&core)?);
    let x = core.allocate("x", 8)?;
    x.write(0, &lab::bytes(&[rank.index as f32, 10.0]))?;
    let (sum, all) = (core.allocate("sum", 8)?, core.allocate("all", 8 * rank.count as usize)?);
    inputs.insert("x", &x)?;
    outputs.insert("sum", &sum)?;
    outputs.insert("all", &all)?;
    for _ in 0..3 {
        model.execute(&inputs, &outputs, LONG)?;
    }
    Ok((lab::read(&sum), lab::read(&all)))
}

#[test]
fn ranks_meet_compute_together_and_miss_each_other() {
    let mut lab = Lab::with(&[("patience_ms", "20000")]);
    let neff = lab.neff(&together(4));
    {
        let runtime = lab.runtime();
        let refused = runtime.core(0).unwrap().load(&neff, Some(Rank { index: 0, count: 4 }));
        assert_eq!(refused.map(drop).unwrap_err().status(), Some(Status::Invalid), "no place to meet is set");
    }
    lab.options.collectives_root = Some("127.0.0.1:62182".parse().unwrap());
    let runtime = lab.runtime();
    std::thread::scope(|scope| {
        let ranks: Vec<_> = (0..4)
            .map(|index| {
                scope.spawn({
                    let (runtime, neff) = (&runtime, &neff);
                    move || rank(runtime, neff, Rank { index, count: 4 })
                })
            })
            .collect();
        for of_rank in ranks {
            let (sum, all) = of_rank.join().unwrap().unwrap();
            assert_eq!(sum, [6.0, 40.0]);
            assert_eq!(all, [0.0, 10.0, 1.0, 10.0, 2.0, 10.0, 3.0, 10.0]);
        }
    });
    let alone = runtime.core(0).unwrap().load(&neff, None).map(drop).unwrap_err();
    assert_eq!(alone.status(), Some(Status::Invalid), "a program of ranks is not loaded as one of its own");
    lab.control().set("patience_ms", "1");
    let neff = lab.neff(&adding());
    let late = runtime.core(0).unwrap().load(&neff, Some(Rank { index: 0, count: 2 })).map(drop).unwrap_err();
    assert_eq!(late.status(), Some(Status::Timeout));
}
