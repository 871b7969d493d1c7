//! Results under prices, held against sums done by hand; and what is not told as a result.

use cost::predict::Predicted;
use cost::report::{Report, Terms};
use cost::results::{
    Disturbed, KernelTime, Kernels, Point, Question, Request, Results, Run, SCHEMA, Setup, Slo, TAKEN,
};
use cost::{Catalogue, Date, Price, Touched};

fn day() -> Date {
    "2026-11-28".parse().expect("a date")
}

/// Ten requests of 100 tokens in and 11 out in ten seconds, each charged a quarter for its prompt.
fn results() -> Results {
    let request = |n: u32| Request {
        start_s: f64::from(n),
        first_s: f64::from(n) + 0.2,
        end_s: f64::from(n) + 1.0,
        tokens_in: 100,
        tokens_out: 11,
        between_s: vec![0.08; 10],
        prefill_s: 0.2,
        decode_s: 0.6,
        device_s: [0.2, 0.6],
        bytes: [1e9, 5e9],
        operations: [1e9, 1e9],
        ..Request::default()
    };
    let run = Run { wall_s: 10.0, requests: (0..10).map(request).collect(), ..Run::default() };
    let setup = Setup {
        model: "llama-3.1-8b".to_owned(),
        device: "cpu".to_owned(),
        bytes_per_s: Some(1e10),
        operations_per_s: Some(1e12),
        ..Setup::default()
    };
    let point = Point {
        concurrency: Some(1),
        rate_per_s: None,
        cache: true,
        runs: vec![run.clone(), run],
        predicted: None,
    };
    Results { schema: SCHEMA, setup, points: vec![point], kernels: vec![] }
}

fn price(usd: f64) -> Price {
    Price::given(usd, day()).expect("a price")
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} is not {b}");
}

#[test]
fn parts_of_the_bill_come_to_the_bill() {
    let (price, slo) = (price(3.6), "500/100".parse::<Slo>().expect("limits"));
    let question = Question { price: Some(&price), utilisation: 0.5, slo: Some(&slo), taken: TAKEN };
    let summary = &results().summaries(&question)[0];
    near(summary.out_per_s.mid, 11.0);
    near(summary.in_per_s, 100.0);
    let dollars = summary.dollars.expect("there is a price");
    // 0.001 $/s, half used: 0.002 $ for each second of 111 tokens.
    near(dollars.total.mid, 2000.0 / 111.0);
    near(dollars.out.mid, 2000.0 / 11.0);
    let [split_in, split_out] =
        [dollars.split_in, dollars.split_out].map(|usd| usd.expect("it is known whose"));
    near(split_in * 100.0 + split_out * 11.0, 2000.0);
    near(split_in, 500.0 / 100.0);
    near(dollars.good.expect("limits were asked for"), 2000.0 / 11.0);
    near(summary.share_of_limit[1].expect("a limit"), 5.0 / 6.0);
    near(summary.break_even(&dollars, 0.5, 1000.0 / 111.0), 1.0);
    assert!(summary.refused.is_none() && summary.good_share == Some(1.0));
    assert!(dollars.total.low <= dollars.total.mid && dollars.total.mid <= dollars.total.high);
    near(summary.ttft.p99, 0.2);
    near(summary.tpot.p50, 0.08);
}

#[test]
fn another_price_changes_dollars_and_nothing_else() {
    let (one, two) = (price(1.0), price(2.0));
    let told = |price| {
        let question = Question { price, utilisation: 1.0, slo: None, taken: TAKEN };
        results().summaries(&question).remove(0)
    };
    let (mut cheap, mut dear) = (told(Some(&one)), told(Some(&two)));
    let (a, b) = (cheap.dollars.take().expect("dollars"), dear.dollars.take().expect("dollars"));
    assert_eq!((&cheap, &dear), (&told(None), &told(None)));
    near(2.0 * a.total.high, b.total.high);
    near(2.0 * a.split_in.expect("known"), b.split_in.expect("known"));
}

#[test]
fn what_cannot_be_true_is_no_result() {
    let refusal = |change: &dyn Fn(&mut Results)| {
        let mut results = results();
        change(&mut results);
        let question = Question { price: None, utilisation: 1.0, slo: None, taken: TAKEN };
        results.summaries(&question).remove(0).refused
    };
    assert_eq!(refusal(&|_| {}), None);
    let sentence = |change: &dyn Fn(&mut Results)| refusal(change).expect("it is refused");
    let fast = |results: &mut Results| results.setup.bytes_per_s = Some(6.3e9);
    assert!(sentence(&fast).contains("119 % of the physical limit"), "{}", sentence(&fast));
    assert!(sentence(&|r| r.setup.same_tokens_alone = Some(false)).contains("fast and wrong"));
    assert!(sentence(&|r| r.points[0].runs[0].wall_s = 30.0).contains("something else used the machine"));
    assert!(
        sentence(&|r| r.points[0].runs[0].generator_lag_s_p99 = 0.05).contains("the load generator was late")
    );
    let failed = |results: &mut Results| {
        let requests = results.points[0].runs.iter_mut().flat_map(|run| &mut run.requests);
        requests.for_each(|request| request.error = Some("lost".to_owned()));
    };
    assert!(sentence(&failed).contains("20 requests failed"));
}

#[test]
fn a_report_tells_prices_with_their_days_and_when_an_api_is_cheaper() {
    let (results, catalogue) = (results(), Catalogue::built_in().expect("good"));
    let terms = |slo| Terms {
        catalogue: &catalogue,
        utilisation: 1.0,
        slo,
        taken: TAKEN,
        plans: vec![],
        tokens_per_month: None,
        today: day(),
    };
    let report = |usd: f64| Report::new(vec![(&results, Some(&price(usd)))], terms(None)).verdict();
    assert!(report(3.6).contains("Use the API"), "{}", report(3.6));
    assert!(report(0.0001).contains("if it is used more than"), "{}", report(0.0001));
    let dear = price(3.6);
    let whole = Report::new(vec![(&results, Some(&dear))], terms(None));
    let page = whole.html();
    assert_eq!(page.matches("<svg").count(), 3 + 5, "three plots, and the keys of one");
    assert!(page.contains("2026-11-28") && page.contains("2026-11-20"), "prices have their days");
    assert!(
        !page.contains("http://")
            || page.matches("http").count() == page.matches("http://www.w3.org").count()
    );
    assert!(!page.contains("<script") && !page.contains("@import"));
    assert!(whole.text().contains("energy: unavailable") && whole.csv().lines().count() == 2);
    assert_eq!(
        whole.csv().lines().map(|line| line.matches(',').count()).max(),
        whole.csv().lines().map(|line| line.matches(',').count()).min()
    );
    assert_eq!(whole.requests().count(), 20);
}

#[test]
fn limits_of_latency_are_named_or_given() {
    let told = |word: &str| word.parse::<Slo>().map(|slo| (slo.ttft_ms, slo.tpot_ms)).ok();
    assert_eq!(told("mlperf-server"), Some((2000.0, 100.0)));
    assert_eq!(told("mlperf-interactive:gpt-oss-120b"), Some((2000.0, 15.0)));
    assert_eq!(told("250/12.5"), Some((250.0, 12.5)));
    for wrong in ["mlperf-offline", "mlperf-server:gpt-2", "fast", "1/0", "1/-2", "/"] {
        assert_eq!(told(wrong), None, "{wrong}");
    }
}

#[test]
fn prompts_and_answers_in_one_step_are_held_against_the_bound_together() {
    // Half of the time reads, half multiplies; each has half of the device's time, and hides behind the other.
    let mut results = results();
    results.setup.operations_per_s = Some(1e10);
    for request in results.points[0].runs.iter_mut().flat_map(|run| &mut run.requests) {
        (request.bytes, request.operations, request.device_s) = ([0.0, 6e9], [6e9, 0.0], [0.35, 0.35]);
    }
    let question = Question { price: None, utilisation: 1.0, slo: None, taken: TAKEN };
    let summary = results.summaries(&question).remove(0);
    assert!(summary.share_of_limit.iter().all(|share| share.is_some_and(|share| share > 1.5)), "{summary:?}");
    near(summary.share_of_limit_together.expect("a bound"), 6.0 / 7.0);
    assert_eq!(summary.refused, None);
    // What filled buckets took its part of the time.
    results.points[0].runs.iter_mut().for_each(|run| run.device_s = 12.0);
    near(results.summaries(&question).remove(0).share_of_limit_together.expect("a bound"), 0.5);
    // In caches memory is no bound, but operations are.
    results.setup.bytes_per_s = None;
    results.points[0].runs.iter_mut().for_each(|run| run.device_s = 0.0);
    results.setup.operations_per_s = Some(5e9);
    assert!(results.summaries(&question).remove(0).refused.expect("too fast").contains("physical limit"));
}

#[test]
fn what_was_disturbed_is_no_result() {
    let refusal = |disturbed: Disturbed, like_reference: Option<f64>| {
        let mut results = results();
        results.points[0].runs[1].disturbed = disturbed;
        results.setup.like_reference = like_reference;
        results
            .summaries(&Question { price: None, utilisation: 1.0, slo: None, taken: TAKEN })
            .remove(0)
            .refused
    };
    let none = Disturbed::default();
    let busy = Disturbed { others: Some(0.4), ..none };
    assert!(busy.refusal(0.39).is_some() && busy.refusal(0.41).is_none(), "it is judged as was asked");
    let hot = Disturbed { throttled: Some(1), ..none };
    assert!(hot.refusal(1.0).is_some(), "heat is no share of anything");
    let little = Disturbed { others: Some(0.05), stolen: Some(0.05), throttled: Some(0) };
    assert_eq!((refusal(none, None), refusal(little, Some(0.97))), (None, None));
    let sentence = |disturbed, like| refusal(disturbed, like).expect("it is refused");
    assert!(sentence(Disturbed { others: Some(0.4), ..none }, None).contains("other programs took 40 %"));
    assert!(sentence(Disturbed { stolen: Some(0.2), ..none }, None).contains("to other machines"));
    assert!(sentence(Disturbed { throttled: Some(3), ..none }, None).contains("slowed down 3 times"));
    assert!(sentence(none, Some(0.3)).contains("only 30 % of its tokens are those of the reference"));
}

#[test]
fn what_was_recorded_is_read_as_it_was() {
    // Numbers that JSON's readers give back a little off, wherever results have some.
    let third = |n: f64| n / 3.0 * 1.000_000_000_000_000_2;
    let mut results = results();
    results.setup.like_reference = Some(third(2.0));
    let time = |n: u32| KernelTime {
        kernel: "a kernel".to_owned(),
        seconds: third(f64::from(n) * 1e-3),
        predicted_s: Some(third(f64::from(n) * 1e-7)),
    };
    let kernels =
        Kernels { what: "a step".to_owned(), step_s: third(0.1), times: (1..400).map(time).collect() };
    results.kernels = vec![kernels];
    results.points[0].predicted = Some(Predicted {
        calibration: "ours".to_owned(),
        error: third(0.2),
        out_per_s: third(1_108.184),
        itl_s: third(0.007_1),
        prompt_s: third(0.007_8),
    });
    let disturbed = Disturbed { others: Some(third(2.388_5)), stolen: Some(third(0.1)), throttled: None };
    results.points[0].runs[0].disturbed = disturbed;
    results.points[0].runs[0].experts.add(Touched { tokens: 4, steps: 3, experts: third(22.0) });
    let rounded = results.rounded();
    let text = serde_json::to_string(&rounded).expect("it is written");
    assert_eq!(serde_json::from_str::<Results>(&text).expect("it is read"), rounded);
}

#[test]
fn the_verdict_is_of_answers_within_the_limits_and_says_which_cache() {
    let catalogue = Catalogue::built_in().expect("good");
    // Four at a time make more and cost less, but every answer waits too long for its first token.
    let mut results = results();
    results.setup.model = "a model of our own".to_owned();
    let mut many = results.points[0].clone();
    (many.concurrency, many.cache) = (Some(4), false);
    for run in &mut many.runs {
        run.wall_s = 5.0;
        run.requests.iter_mut().for_each(|request| {
            (request.start_s, request.first_s, request.end_s) =
                (request.start_s / 2.0, request.start_s / 2.0 + 0.9, request.start_s / 2.0 + 1.7);
        });
    }
    results.points.push(many);
    let price = price(3.6);
    let verdict = |limits: Option<&str>| {
        let slo = limits.map(|limits| limits.parse::<Slo>().expect("limits"));
        let terms = Terms {
            catalogue: &catalogue,
            utilisation: 1.0,
            slo: slo.as_ref(),
            taken: TAKEN,
            plans: vec![],
            tokens_per_month: None,
            today: day(),
        };
        Report::new(vec![(&results, Some(&price))], terms).verdict()
    };
    assert!(verdict(None).starts_with("cpu with 4 at a time, no cache is the cheapest"), "{}", verdict(None));
    let within = verdict(Some("500/100"));
    assert!(
        within.starts_with("cpu with 1 at a time is the cheapest") && within.contains("500/100"),
        "{within}"
    );
    assert!(verdict(Some("1/1")).starts_with("No load kept a single answer"), "{}", verdict(Some("1/1")));
}
