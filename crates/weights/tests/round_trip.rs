//! Files that others wrote, and files that we write, read back as they were.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;

use common::file;
use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use tensor::{Access, DType, Shape, SourceError, WeightInfo, WeightSource};
use weights::gguf::{Array, Value, Writer};
use weights::{Gguf, SafeTensors};

#[test]
fn safetensors_written_by_its_own_crate() {
    let types = [
        (Dtype::F32, Some(DType::F32), 4),
        (Dtype::F16, Some(DType::F16), 2),
        (Dtype::BF16, Some(DType::BF16), 2),
        (Dtype::U8, Some(DType::U8), 1),
        (Dtype::I32, Some(DType::I32), 4),
        (Dtype::U32, Some(DType::U32), 4),
        (Dtype::BOOL, Some(DType::Bool), 1),
        (Dtype::F64, None, 8),
        (Dtype::I64, None, 8),
        (Dtype::F8_E4M3, None, 1),
    ];
    let data: Vec<Vec<u8>> =
        types.iter().map(|(_, _, width)| (0..6 * width).map(|i| (i * 37) as u8).collect()).collect();
    let views = types.iter().zip(&data).map(|((theirs, _, _), data)| {
        (format!("{theirs:?}"), TensorView::new(*theirs, vec![3, 2], data).unwrap())
    });
    let notes = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = serialize(views.collect::<Vec<_>>(), Some(notes)).unwrap();
    let disk = file(&bytes);
    for access in [Access::Read, Access::Map] {
        let model = SafeTensors::open(disk.path(), access).unwrap();
        assert_eq!(model.tensors().count(), types.len());
        for ((theirs, ours, _), data) in types.iter().zip(&data) {
            let name = format!("{theirs:?}");
            assert_eq!(model.find(&name).map(|info| info.dtype), *ours, "{name}");
            match ours {
                Some(_) => assert_eq!(model.read(&name).unwrap(), *data),
                None => {
                    assert!(matches!(model.read_rows(&name, 0, &mut []), Err(SourceError::Convert { .. })))
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn safetensors_of_any_shapes(shapes in prop::collection::vec(prop::collection::vec(0usize..5, 0..5), 0..8)) {
        let data: Vec<Vec<u8>> = shapes.iter().map(|s| vec![s.len() as u8; 4 * s.iter().product::<usize>()]).collect();
        let views: Vec<_> = (0..).zip(shapes.iter().zip(&data)).map(|(i, (shape, data))| {
            (format!("t{i}"), TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
        }).collect();
        let model = SafeTensors::open(file(&serialize(views, None).unwrap()).path(), Access::Read).unwrap();
        for (i, (shape, data)) in shapes.iter().zip(&data).enumerate() {
            let name = format!("t{i}");
            prop_assert_eq!(&*model.find(&name).unwrap().shape, &shape[..]);
            prop_assert_eq!(&model.read(&name).unwrap(), data);
        }
    }

    #[test]
    fn gguf_of_any_pairs_and_tensors(
        text in prop::collection::vec(".{0,12}", 0..20),
        numbers in prop::collection::vec(any::<i32>(), 0..20),
        float in any::<f32>().prop_filter("equal to itself", |f| !f.is_nan()),
        rows in prop::collection::vec(0usize..4, 1..6),
    ) {
        let strings: Array = text.iter().map(String::as_str).collect();
        let mut writer = Writer::new()
            .pair("strings", strings)
            .pair("numbers", Value::Array(Array::from(&numbers[..])))
            .pair("float", float)
            .pair("yes", true);
        let kinds: Vec<DType> = DType::weights().filter(|dtype| *dtype != DType::F8_E4M3).collect();
        let infos: Vec<WeightInfo> = rows.iter().enumerate().map(|(i, &rows)| {
            let dtype = kinds[(i * 7 + rows) % kinds.len()];
            WeightInfo { dtype, shape: Shape::from([rows, 2, dtype.block_len() * (1 + i % 2)]) }
        }).collect();
        for (i, info) in infos.iter().enumerate() {
            writer = writer.tensor(&format!("t{i}"), *info);
        }
        let mut body = writer.begin(Vec::new()).unwrap();
        let bytes = |info: &WeightInfo| (0..info.bytes().unwrap()).map(|b| (b % 251) as u8).collect();
        let data: Vec<Vec<u8>> = infos.iter().map(bytes).collect();
        // In pieces that are no tensor's size.
        for piece in data.concat().chunks(77) {
            body.write(piece).unwrap();
        }
        let model = Gguf::open(file(&body.finish().unwrap()).path(), Access::Read).unwrap();
        prop_assert_eq!(model.metadata().strs("strings").unwrap().collect::<Vec<_>>(), text);
        prop_assert_eq!(model.metadata().i32s("numbers").unwrap(), numbers);
        prop_assert_eq!(model.metadata().f32("float").unwrap(), float);
        for (i, (info, data)) in infos.iter().zip(&data).enumerate() {
            let name = format!("t{i}");
            prop_assert_eq!(model.find(&name), Some(*info));
            prop_assert_eq!(&model.read(&name).unwrap(), data);
        }
    }
}

#[test]
fn every_kind_of_value_reads_back() {
    let values: Vec<Value> = vec![
        1u8.into(),
        (-2i8).into(),
        3u16.into(),
        (-4i16).into(),
        5u32.into(),
        (-6i32).into(),
        7u64.into(),
        (-8i64).into(),
        1.5f32.into(),
        2.5f64.into(),
        false.into(),
        "text".into(),
        Array::from(&[1u64, u64::MAX][..]).into(),
        Array::from(&[true, false][..]).into(),
        Array::from(&[0.5f64][..]).into(),
        Array::from_iter([]).into(),
    ];
    let mut writer = Writer::new();
    for (i, value) in values.iter().enumerate() {
        writer = writer.pair(&format!("{i:02}"), value.clone());
    }
    let bytes = writer.begin(Vec::new()).unwrap().finish().unwrap();
    let model = Gguf::open(file(&bytes).path(), Access::Read).unwrap();
    assert!(model.metadata().iter().map(|(_, value)| value).eq(values.iter()));
}

#[test]
fn the_writer_refuses_what_would_not_read_back() {
    let info = |dtype, shape: &[usize]| WeightInfo { dtype, shape: Shape::new(shape) };
    let begin = |writer: Writer| writer.begin(Vec::new()).err().map(|error| error.to_string());
    assert!(begin(Writer::new().tensor("a", info(DType::U8, &[4]))).unwrap().contains("u8"));
    assert!(begin(Writer::new().tensor("a", info(DType::F32, &[1; 5]))).unwrap().contains("four axes"));
    assert!(begin(Writer::new().tensor("a", info(DType::Q4_0, &[33]))).unwrap().contains("whole blocks"));
    let twice = info(DType::F32, &[1]);
    assert!(begin(Writer::new().tensor("a", twice).tensor("a", twice)).unwrap().contains("twice"));
    assert!(begin(Writer::new().pair("k", 1u32).pair("k", 2u32)).unwrap().contains("`k`"));

    let mut body = Writer::new().tensor("a", twice).begin(Vec::new()).unwrap();
    body.write(&[0; 3]).unwrap();
    assert!(body.finish().unwrap_err().to_string().contains("4 bytes, but 3"));
    let mut body = Writer::new().tensor("a", twice).begin(Vec::new()).unwrap();
    assert!(body.write(&[0; 5]).is_err());
}

#[test]
fn a_model_is_copied_tensor_by_tensor() {
    let from = common::open_safetensors(&common::small_safetensors()).unwrap();
    let mut writer = Writer::new();
    for name in ["b", "a"] {
        writer = writer.tensor(name, from.find(name).unwrap());
    }
    let mut body = writer.begin(Vec::new()).unwrap();
    body.copy(&from, "b").unwrap();
    body.copy(&from, "a").unwrap();
    let copy = common::open_gguf(&body.finish().unwrap()).unwrap();
    assert_eq!(
        (copy.read("a").unwrap(), copy.read("b").unwrap()),
        (from.read("a").unwrap(), from.read("b").unwrap())
    );
}
