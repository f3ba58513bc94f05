use bellwether_model::series::STALE;
use proptest::prelude::*;

use super::*;

fn encode(values: &[f64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::default().encode(values, &mut bytes);
    bytes
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn shape(values: &[f64]) -> u8 {
    encode(values)[0] & SHAPE
}

fn round_trip(values: &[f64]) -> usize {
    let bytes = encode(values);
    let mut out = vec![7.0];
    decode(&bytes, values.len(), &mut out).unwrap();
    assert_eq!(bits(&out[1..]), bits(values));
    bytes.len()
}

#[test]
fn shapes_are_chosen_by_the_values() {
    assert_eq!(shape(&[f64::NAN; 5]), CONSTANT);
    assert_eq!(shape(&[-0.0, 1.5, 2.25, 0.01, 9.0]), SCALED);
    assert_eq!(shape(&[0.1 + 0.2, 1e300]), RAW);
    assert_eq!(shape(&[1.0, 2.0, 3.0, 4.0, STALE]), SCALED);
    assert_eq!(shape(&[1.0, STALE]), RAW);
    assert_eq!(shape(&[0.25; 5]), NUMBER);
    assert_eq!(shape(&[4096.0, 8192.0, 0.0, -512.0]), SCALED);
    assert!(encode(&[ABSENT; 9]).is_empty());
}

#[test]
fn lengths_are_as_the_format_says() {
    let rising: Vec<f64> = (0..120).map(|i| 1_000_000.0 + f64::from(i)).collect();
    // tag, first value (3 bytes), the step, a zero run of 118
    assert_eq!(round_trip(&rising), 1 + 3 + 1 + 2);
    assert_eq!(round_trip(&[42.5; 120]), 1 + 2);
    assert_eq!(round_trip(&[0.0; 480]), 1 + 1);
    assert_eq!(round_trip(&[f64::MAX; 120]), 1 + 8);
    assert_eq!(round_trip(&[(1_u64 << 50) as f64; 16]), 1 + 1 + 2);
    let mut one_missing = vec![42.5; 120];
    one_missing[60] = ABSENT;
    assert_eq!(round_trip(&one_missing), 3 + 3);
    // pages of memory: the steps count in pages
    let pages: Vec<f64> = (0..100_i64).map(|i| ((1 << 20) + i * i % 7 * 4096) as f64).collect();
    assert_eq!(round_trip(&pages), 1 + 1 + 2 + 99);
    assert_eq!(round_trip(&[]), 0);
}

#[test]
fn the_format_document_shows_true_bytes() {
    // The example of FORMAT.md.
    let values = [1.25, ABSENT, 1.25, 1.5, 1.75, 2.0, STALE];
    assert_eq!(
        encode(&values),
        [0x9d, 1, 1, 5, 1, 5, 0x02, 0, 0, 0, 0, 0, 0xf0, 0x7f, 0xfa, 0x01, 0x01, 0x33, 0, 0]
    );
    round_trip(&values);
}

#[test]
fn hostile_bytes_are_refused_by_name() {
    let mut out = Vec::new();
    let cases: [(&[u8], usize, ChunkError); 9] = [
        (&[CONSTANT, 1], 3, ChunkError::Short),
        (&[NUMBER | SECOND_ORDER, 0], 3, ChunkError::Tag),
        (&[SCALED | (6 << SCALE_SHIFT), 0], 1, ChunkError::Tag),
        (&[NUMBER | (5 << SCALE_SHIFT), 41, 0], 1, ChunkError::Tag),
        (&[SCALED, 2, 0, 0xff, 0xff, 0x7f], 3, ChunkError::Run),
        (&[SCALED, 2, 2], 1, ChunkError::Long),
        (&[RAW, 63], 10, ChunkError::Run),
        (&[SCALED, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], 1, ChunkError::Number),
        (&[], ROWS_MAX + 1, ChunkError::TooManyRows),
    ];
    for (bytes, rows, error) in cases {
        assert_eq!(decode(bytes, rows, &mut out), Err(error), "{bytes:?}");
        assert!(out.is_empty());
    }
}

#[test]
fn parts_of_scales_too_far_apart_are_joined_as_floats() {
    let large: Vec<f64> = (1..9).map(|i| (i * (1_i64 << 40)) as f64).collect();
    let small: Vec<f64> = (1..9).map(|i| f64::from(i) / 1e9).collect();
    let parts = [(encode(&large), large.len()), (encode(&small), small.len())];
    assert_eq!(parts.each_ref().map(|(chunk, _)| decimals(chunk)), [Some(0), Some(4)]);
    let chunks = parts.iter().map(|(chunk, rows)| (&chunk[..], *rows));
    let mut joined = Vec::new();
    assert!(!Encoder::default().join(chunks, &mut joined) && joined.is_empty());
    round_trip(&[large, small].concat());
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-1000_i64..100_000).prop_map(|i| i as f64),
        3 => (0_i64..1_000_000).prop_map(|i| i as f64 / 100.0),
        1 => (0_i64..1_000_000_000, 2..5_usize).prop_map(|(i, code)| i as f64 / POWERS[code]),
        2 => (-9_i64..1_000_000, 0_u32..45).prop_map(|(i, by)| (i << by) as f64),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(STALE),
        1 => Just(-0.0),
        2 => Just(ABSENT),
        1 => Just(9_007_199_254_740_993.0),
    ]
}

fn column() -> impl Strategy<Value = Vec<f64>> {
    let runs = prop::collection::vec((value(), 1_usize..20), 0..40);
    runs.prop_map(|runs| {
        let spread = runs.into_iter().flat_map(|(v, n)| std::iter::repeat_n(v, n));
        spread.take(ROWS_MAX).collect()
    })
}

fn one_kind() -> impl Strategy<Value = Vec<f64>> {
    (0_usize..5, prop::collection::vec(any::<i32>(), 1..ROWS_MAX), any::<bool>()).prop_map(
        |(scale, steps, stale)| {
            let mut sum = 0_i64;
            let mut values: Vec<f64> = steps
                .into_iter()
                .map(|step| {
                    sum += i64::from(step % 500);
                    sum as f64 / POWERS[scale]
                })
                .collect();
            if stale && let Some(last) = values.last_mut() {
                *last = STALE;
            }
            values
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_encoded_is_decoded_bit_for_bit(values in column()) {
        round_trip(&values);
    }

    #[test]
    fn decimals_are_scaled_and_come_back(values in one_kind()) {
        round_trip(&values);
        if values.len() > 4 {
            prop_assert_ne!(shape(&values), RAW);
        }
    }

    #[test]
    fn chunks_are_joined_as_their_values_would_be_encoded(
        values in prop_oneof![one_kind(), column()],
        cuts in prop::collection::vec(1_usize..100, 0..6),
        damage in prop::option::of((any::<usize>(), any::<u8>())),
    ) {
        let (mut rest, mut parts) = (&values[..], Vec::new());
        for cut in cuts {
            let (part, behind) = rest.split_at(cut.min(rest.len()));
            parts.push((encode(part), part.len()));
            rest = behind;
        }
        parts.push((encode(rest), rest.len()));
        parts.retain(|(_, rows)| *rows > 0);
        if let (Some((at, byte)), Some((first, _))) = (damage, parts.first_mut())
            && !first.is_empty()
        {
            let at = at % first.len();
            first[at] = byte;
        }
        let chunks = parts.iter().map(|(chunk, rows)| (&chunk[..], *rows));
        let mut joined = vec![7];
        if !Encoder::default().join(chunks, &mut joined) {
            prop_assert_eq!(joined, [7]);
            return Ok(());
        }
        let (mut apart, mut whole) = (Vec::new(), Vec::new());
        for (chunk, rows) in &parts {
            decode(chunk, *rows, &mut apart).unwrap();
        }
        decode(&joined[1..], values.len(), &mut whole).unwrap();
        prop_assert_eq!(bits(&whole), bits(&apart));
    }

    #[test]
    fn decimals_are_joined_as_tightly(values in one_kind(), cut in 1_usize..ROWS_MAX) {
        let (first, second) = values.split_at(cut.min(values.len()));
        let parts = [(encode(first), first.len()), (encode(second), second.len())];
        let is_plain = |(chunk, _): &(Vec<u8>, usize)| decimals(chunk).is_some();
        if parts.iter().all(is_plain) && values.iter().any(|value| *value != values[0]) {
            let mut joined = Vec::new();
            let chunks = parts.iter().map(|(chunk, rows)| (&chunk[..], *rows));
            prop_assert!(Encoder::default().join(chunks, &mut joined));
            // But for an order that suits each part and not, just so, the whole.
            prop_assert!(joined.len() <= encode(&values).len() + 8, "{} bytes", joined.len());
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        rows in 0_usize..600,
    ) {
        let mut out = Vec::new();
        match decode(&bytes, rows, &mut out) {
            Ok(()) => prop_assert_eq!(out.len(), rows),
            Err(_) => prop_assert!(out.is_empty()),
        }
    }

    #[test]
    fn damaged_chunks_are_decoded_or_refused(values in column(), at: usize, byte: u8) {
        let mut bytes = encode(&values);
        if !bytes.is_empty() {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let mut out = Vec::new();
        if decode(&bytes, values.len(), &mut out).is_ok() {
            prop_assert_eq!(out.len(), values.len());
        }
    }

    #[test]
    fn some_rows_are_those_of_all(
        values in column(),
        damage in prop::option::of((any::<usize>(), any::<u8>())),
        from in 0_usize..=ROWS_MAX,
        len in 0_usize..=ROWS_MAX,
    ) {
        let mut bytes = encode(&values);
        if let (Some((at, byte)), false) = (damage, bytes.is_empty()) {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let from = from % (values.len() + 1);
        let some = from..(from + len).min(values.len());
        let (mut all, mut out) = (Vec::new(), vec![7.0]);
        let whole = decode(&bytes, values.len(), &mut all);
        prop_assert_eq!(decode_some(&bytes, values.len(), &some, &mut out), whole);
        let expected = if whole.is_ok() { &all[some] } else { &[][..] };
        prop_assert_eq!(bits(&out[1..]), bits(expected));
    }

    #[test]
    fn integers_come_back_in_either_order(
        values in prop::collection::vec(-ints::MAGNITUDE_MAX..=ints::MAGNITUDE_MAX, 0..50),
        second: bool,
    ) {
        let mut bytes = Vec::new();
        let order = ints::Order::of(second);
        ints::put(&values, order, &mut bytes);
        let mut out = Vec::new();
        let mut reader = Reader(&bytes);
        ints::take(&mut reader, order, values.len(), |i| out.push(i)).unwrap();
        prop_assert_eq!(out, values);
        prop_assert!(reader.0.is_empty());
    }
}
