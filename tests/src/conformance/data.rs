//! Test data: random to look at, the same on every run and every machine.

use tensor::{Buffer, DType, Shape, Value, WeightInfo, WeightSource, blocks};
use weights::Random;

/// A stream of numbers.
pub struct Data(u64);

impl Data {
    /// The stream of a name: what one case draws changes no other's values.
    pub fn of(name: &str) -> Data {
        let mixed = |state: u64, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        Data(name.bytes().fold(0xcbf2_9ce4_8422_2325, mixed))
    }

    /// 32 bits.
    fn bits(&mut self) -> u32 {
        // The multiplier's low bits repeat soon; the high ones do not within any test.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// A number in `[-2, 2)`.
    pub fn number(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1 << 22) as f32 - 2.0
    }

    /// A whole number in `low..high`.
    pub fn whole(&mut self, low: i32, high: i32) -> i32 {
        low + (self.bits() % (high - low) as u32) as i32
    }

    /// Numbers in `[-2, 2)`.
    pub fn f32s(&mut self, shape: &[usize]) -> Value {
        let values = (0..shape.iter().product()).map(|_| self.number()).collect::<Vec<_>>();
        Value::f32s(Shape::new(shape), &values)
    }

    /// Numbers in `[-2, 2)` rounded to a type that states may have.
    pub fn rounded(&mut self, dtype: DType, shape: &[usize]) -> Value {
        let values = self.f32s(shape);
        let bytes = dtype.bytes_of(values.as_f32s().len()).expect("cases have whole blocks");
        let mut data = Buffer::zeroed(bytes);
        blocks::encode(dtype, values.as_f32s(), data.as_mut_slice());
        Value { dtype, shape: values.shape, data }
    }

    /// Whole numbers in `low..high`.
    pub fn i32s(&mut self, shape: &[usize], low: i32, high: i32) -> Value {
        let values = (0..shape.iter().product()).map(|_| self.whole(low, high)).collect::<Vec<_>>();
        Value::i32s(Shape::new(shape), &values)
    }

    /// A weight of any type, whose products with anything are about as large as it.
    pub fn weight(&mut self, dtype: DType, shape: &[usize]) -> Value {
        let info = WeightInfo { dtype, shape: Shape::new(shape) };
        let source = Random::new([("weight".to_owned(), info)], u64::from(self.bits()));
        let bytes = source.read("weight").expect("there are random weights of every weight type");
        Value::new(dtype, info.shape, &bytes)
    }

    /// The numbers `from..from + count`, shuffled.
    pub fn shuffled(&mut self, from: i32, count: usize) -> Vec<i32> {
        let mut numbers = (from..from + count as i32).collect::<Vec<_>>();
        for last in (1..count).rev() {
            numbers.swap(last, self.whole(0, last as i32 + 1) as usize);
        }
        numbers
    }
}
