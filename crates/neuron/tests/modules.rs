//! The module of a small decoder: its text, its names, what it aliases, and what is refused.

use graph::{BackendError, Bucket, Catalogue, Dim, Graph, GraphBuilder, Group, Input, Op, ProgramSpec, Var};
use hlo::{Element, Module};
use neuron::{Bundle, Dialect, Emitted, Narrow, Options, Precision, Target, emit};
use tensor::{DType, Shape, WeightInfo};

/// Has every weight: matrices in q4_0, vectors in f32.
struct Any;

impl Catalogue for Any {
    fn find(&self, _: &str, dims: &[u32]) -> Option<WeightInfo> {
        let dtype = if dims.len() > 1 { DType::Q4_0 } else { DType::F32 };
        Some(WeightInfo { dtype, shape: Shape::new(&dims.iter().map(|&n| n as usize).collect::<Vec<_>>()) })
    }
}

/// One layer of one head: embedding, keys and values written, attention, logits.
fn decoder(kv: DType) -> Graph {
    let mut g = GraphBuilder::new("tiny decoder", 64, 4, &Any);
    let table = g.weight("embed", &[64, 32]);
    let tokens = g.input(Input::Tokens);
    let x = g.op(Op::Embed, &[tokens, table]);
    let group = g.group(Group::Pages { window: None });
    let x = g.layer("layers.0", &[x], |f, args| {
        let norm = f.weight("norm", &[32]);
        let x = f.op(Op::RmsNorm { eps: 1e-5 }, &[args[0], norm]);
        let heads = f.reshape(x, &[Dim::Var(Var::Tokens), 1.into(), 32.into()]);
        let slots = f.input(Input::Slots(group));
        let [k, v] = ["k", "v"].map(|name| {
            let state = f.state(name, group, kv, &[1, 32]);
            f.write(state, slots, heads);
            f.read(state)
        });
        let inputs = [Input::Positions, Input::Sequences, Input::Table(group), Input::Base(group)];
        let args = [vec![heads, k, v], inputs.map(|input| f.input(input)).to_vec()].concat();
        let x = f.op(Op::Attention { scale: 0.25, window: None }, &args);
        let x = f.name(x, "attention");
        vec![f.reshape(x, &[Dim::Var(Var::Tokens), 32.into()])]
    })[0];
    let rows = g.input(Input::Rows);
    let x = g.gather(x, rows);
    let logits = g.op(Op::Linear, &[x, table]);
    g.name(logits, "logits");
    g.finish(logits).expect("a graph")
}

/// Two sequences, one token each.
const DECODE: Bucket = Bucket { tokens: 2, seqs: 2, queries: 1, pages: 2, rows: 2 };

fn module(options: &Options) -> Module {
    let spec = ProgramSpec { bucket: DECODE, ..ProgramSpec::default() };
    emit(&decoder(DType::BF16), &spec, &[5], options).expect("a module").module
}

#[test]
fn text_is_as_reviewed() {
    insta::assert_snapshot!(module(&Options::default()).to_string());
}

#[test]
fn states_take_the_place_of_their_arguments() {
    let module = module(&Options::default());
    let named =
        module.aliases.iter().map(|alias| (&module.inputs[alias.input], &module.outputs[alias.output]));
    let named = named.map(|(input, output)| (input.as_str(), output.as_str())).collect::<Vec<_>>();
    let state = |name: &'static str, input: &'static str| (input, name);
    assert_eq!(
        named,
        [
            state("layers.0.k", "layers.0.k.must_alias_input"),
            state("layers.0.v", "layers.0.v.must_alias_input")
        ]
    );
}

#[test]
fn only_what_is_read_is_asked_for() {
    let module = module(&Options::default());
    // Where every sequence has one token, nobody asks whose a token is.
    assert!(!module.inputs.iter().any(|name| name == "sequences"), "{:?}", module.inputs);
    assert!(module.inputs.iter().any(|name| name == "table.0"));
}

#[test]
fn what_is_encoded_is_decoded() {
    for dialect in [Dialect::Neuron, Dialect::Stock] {
        let module = module(&Options::new(Precision::F32, dialect));
        assert_eq!(Module::decode(&module.encode()).unwrap(), module);
    }
}

#[test]
fn weights_lie_in_the_type_of_products() {
    for (precision, element) in [(Precision::Bf16, Element::BF16), (Precision::F32, Element::F32)] {
        let module = module(&Options { precision, ..Options::default() });
        let place = module.inputs.iter().position(|name| name == "embed").unwrap();
        assert_eq!(module.entry().parameters()[place].array().unwrap().element, element);
    }
}

#[test]
fn states_in_blocks_are_refused_by_name() {
    let spec = ProgramSpec { bucket: DECODE, ..ProgramSpec::default() };
    let error = emit(&decoder(DType::Q8_0), &spec, &[5], &Options::default()).unwrap_err();
    assert!(matches!(error, BackendError::Unsupported { .. }));
    assert!(error.to_string().contains("neuron cannot run state `layers.0.k`: it is of q8_0"), "{error}");
}

#[test]
fn a_tap_is_a_result_and_a_patch_an_input() {
    let name = "layers.0.attention".to_owned();
    let spec = ProgramSpec {
        bucket: DECODE,
        taps: vec![name.clone()],
        patches: vec![name],
        ..ProgramSpec::default()
    };
    let Emitted { module, inputs } = emit(&decoder(DType::BF16), &spec, &[5], &Options::default()).unwrap();
    assert!(module.outputs.contains(&"tap.0".to_owned()));
    assert!(module.inputs.contains(&"patch.0".to_owned()));
    assert_eq!(inputs.len(), module.inputs.len());
}

#[test]
fn a_bundle_holds_a_module_per_bucket_and_says_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let prefill = Bucket { tokens: 8, seqs: 1, queries: 0, pages: 2, rows: 1 };
    let target = Target::named("trn2").unwrap();
    let bundle = Bundle { target, options: Options::default(), ranks: 1, buckets: vec![DECODE, prefill] };
    let manifest = bundle.write(&decoder(DType::BF16), folder.path(), None, 1, &|_| ()).unwrap();
    for name in ["decode-2x8", "prefill-8x8"] {
        let bytes = std::fs::read(folder.path().join(format!("{name}.hlo.pb"))).unwrap();
        assert!(Module::decode(&bytes).unwrap().outputs.contains(&"token".to_owned()), "{name}");
        let script = std::fs::read_to_string(folder.path().join("compile.sh")).unwrap();
        let line = format!(
            "neuronx-cc compile {name}.hlo.pb --framework XLA --target trn2 --output {name}.neff --model-type transformer --auto-cast none --logical-nc-config 2\n"
        );
        assert!(script.contains(&line), "{script}");
    }
    // An embedding of 64 x 32 in bf16 and a norm of 32 in f32.
    assert_eq!(manifest["bytes_per_core"]["weights"], 64 * 32 * 2 + 32 * 4);
    // Five pages of four slots, 32 elements of bf16, for keys and for values.
    assert_eq!(manifest["bytes_per_core"]["states"], 5 * 4 * 32 * 2 * 2);
    assert_eq!(manifest["programs"][0]["predicted"]["bound"], "memory");
}

#[test]
fn a_bundle_that_does_not_fit_a_core_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket { pages: 1 << 28, ..DECODE };
    let target = Target::named("inf2").unwrap();
    let bundle = Bundle { target, options: Options::default(), ranks: 1, buckets: vec![bucket] };
    let error = bundle.write(&decoder(DType::BF16), folder.path(), None, 1, &|_| ()).unwrap_err();
    assert!(matches!(error, BackendError::Memory { available: 17_179_869_184, .. }), "{error}");
}

/// A decoder with kernels asked for, whose two sequences have 128 positions each.
fn with_kernels(options: &Options, graph: &Graph) -> Module {
    let bucket = Bucket { pages: 32, ..DECODE };
    let spec = ProgramSpec { bucket, ..ProgramSpec::default() };
    emit(graph, &spec, &[65], options).expect("a module").module
}

fn calls(module: &Module) -> Vec<serde_json::Value> {
    let of = |it: &hlo::Instruction| match &it.op {
        hlo::Op::CustomCall { target, config, .. } if target == "AwsNeuronCustomNativeKernel" => {
            Some(serde_json::from_str(config).expect("it is written below"))
        }
        _ => None,
    };
    module.entry().instructions.iter().filter_map(of).collect()
}

#[test]
fn kernels_are_named_where_they_are_asked_for_and_fit() {
    let kernels = Options { kernels: true, ..Options::default() };
    let module = with_kernels(&kernels, &decoder(DType::BF16));
    let [call] = &calls(&module)[..] else { panic!("one layer attends once") };
    assert_eq!(call["kernel"], "paged_attention");
    assert_eq!(call["arguments"][0], serde_json::json!(["bfloat16", [2, 1, 32]]));
    assert_eq!(call["arguments"][1], serde_json::json!(["bfloat16", [260, 1, 32]]));
    assert_eq!(call["arguments"][3], serde_json::json!(["uint32", [2, 128]]));
    assert_eq!(call["numbers"], serde_json::json!([0.25]));
    assert_eq!(Module::decode(&module.encode()).unwrap(), module);
    // Nobody asked; another reader; keys in another type; an axis that is no whole tile.
    let stock = Options { dialect: Dialect::Stock, ..kernels };
    for (options, kv) in [(Options::default(), DType::BF16), (stock, DType::BF16), (kernels, DType::F32)] {
        assert_eq!(calls(&with_kernels(&options, &decoder(kv))), [] as [serde_json::Value; 0], "{options:?}");
    }
    let spec = ProgramSpec { bucket: DECODE, ..ProgramSpec::default() };
    let module = emit(&decoder(DType::BF16), &spec, &[5], &kernels).unwrap().module;
    assert!(calls(&module).is_empty());
}

/// One product by a matrix.
fn linear() -> Graph {
    let mut g = GraphBuilder::new("linear", 64, 4, &Any);
    let table = g.weight("embed", &[64, 64]);
    let tokens = g.input(Input::Tokens);
    let x = g.op(Op::Embed, &[tokens, table]);
    let w = g.weight("w", &[64, 64]);
    let x = g.op(Op::Linear, &[x, w]);
    let rows = g.input(Input::Rows);
    let x = g.gather(x, rows);
    let logits = g.op(Op::Linear, &[x, table]);
    g.finish(logits).expect("a graph")
}

#[test]
fn narrow_weights_are_inputs_with_scales_beside_them() {
    let spec = ProgramSpec { bucket: DECODE, ..ProgramSpec::default() };
    let shape = |narrow, name: &str| {
        let options = Options { narrow: Some(narrow), ..Options::default() };
        let module = emit(&linear(), &spec, &[], &options).unwrap().module;
        assert_eq!(Module::decode(&module.encode()).unwrap(), module);
        let place = module.inputs.iter().position(|input| input == name)?;
        Some(module.entry().parameters()[place].to_string())
    };
    let wanted = [
        (Narrow::F8, "f8e4m3[64,64]", "f32[64]"),
        (Narrow::Int8, "s8[64,64]", "f32[64]"),
        (Narrow::Int8Blocks, "s8[64,64]", "f16[64,2]"),
        (Narrow::Mxfp8, "u32[64,16]", "u8[64,2]"),
    ];
    for (narrow, elements, scales) in wanted {
        assert_eq!(shape(narrow, "w").as_deref(), Some(elements));
        assert_eq!(shape(narrow, "w.scales").as_deref(), Some(scales));
    }
    // A table of embeddings is read by rows, which words of four values are not.
    assert_eq!(shape(Narrow::F8, "embed").as_deref(), Some("f8e4m3[64,64]"));
    assert_eq!(shape(Narrow::Mxfp8, "embed").as_deref(), Some("bf16[64,64]"));
    // What was not found in MXFP4 is not made it.
    assert_eq!(shape(Narrow::Mxfp4, "w").as_deref(), Some("bf16[64,64]"));
}

#[test]
fn a_bundle_for_a_chip_without_mxfp8_is_refused_and_one_in_eight_bits_is_half_as_large() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = |target: &str, narrow| {
        let options = Options { narrow, ..Options::default() };
        let target = Target::named(target).unwrap();
        let bundle = Bundle { target, options, ranks: 1, buckets: vec![DECODE] };
        bundle.write(&linear(), folder.path(), None, 1, &|_| ())
    };
    let refused = bundle("trn2", Some(Narrow::Mxfp8)).unwrap_err();
    assert!(refused.to_string().contains("weights in mxfp8 on trn2: only trn3"), "{refused}");
    assert!(bundle("trn3", Some(Narrow::Mxfp8)).is_ok());
    let bytes = |narrow| bundle("trn2", narrow).unwrap()["bytes_per_core"]["weights"].as_u64().unwrap();
    assert_eq!((bytes(None), bytes(Some(Narrow::F8))), (2 * 64 * 64 * 2, 2 * (64 * 64 + 64 * 4)));
}
