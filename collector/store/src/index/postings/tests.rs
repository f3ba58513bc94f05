use bellwether_model::matcher::MatchOp;
use proptest::prelude::*;

use super::*;

const NAMES: [&str; 3] = ["a", "b", "__name__"];
const VALUES: [&str; 6] = ["", "x", "xy", "xyz", "y", "x\0y"];

fn labels() -> impl Strategy<Value = LabelSet> {
    let values = prop::sample::select(&VALUES[..]);
    prop::array::uniform3(values).prop_map(|v| LabelSet::new(NAMES.into_iter().zip(v)).unwrap())
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let ops = vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    let names = vec!["a", "b", "__name__", "missing"];
    let patterns =
        vec!["", "x", "xy", ".*", ".+", "x.*", "x|y", "|x", "x?", "xy+z?", ".*y", "(x|y).+"];
    (prop::sample::select(ops), prop::sample::select(names), prop::sample::select(patterns))
        .prop_map(|(op, name, pattern)| Matcher::new(name, op, pattern).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn matchers_select_what_brute_force_selects(
        sets in prop::collection::btree_set(labels(), 0..40),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        matchers in prop::collection::vec(matcher(), 0..4),
    ) {
        let mut postings = Postings::default();
        let mut kept: BTreeMap<u32, LabelSet> = (0..).zip(sets).collect();
        for (number, labels) in &kept {
            postings.insert(SeriesRef(*number), labels);
        }
        let before = postings.question(&matchers);
        let expect = |kept: &BTreeMap<u32, LabelSet>| -> Vec<u32> {
            let meets = |labels: &LabelSet| {
                matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
            };
            kept.iter().filter(|(_, labels)| meets(labels)).map(|(n, _)| *n).collect()
        };
        let all = expect(&kept);
        for at in removed {
            let numbers: Vec<u32> = kept.keys().copied().collect();
            if !numbers.is_empty() && let Some(labels) = kept.remove(at.get(&numbers)) {
                postings.remove(SeriesRef(*at.get(&numbers)), &labels);
            }
        }
        let answer: Vec<u32> = postings.question(&matchers).answer(&matchers).into_iter().collect();
        prop_assert_eq!(answer, expect(&kept));
        let answer: Vec<u32> = before.answer(&matchers).into_iter().collect();
        prop_assert_eq!(answer, all, "a question is answered as of its asking");
        if kept.is_empty() {
            prop_assert!(postings.labels.is_empty() && postings.all.is_empty());
        }
    }

    #[test]
    fn keys_order_as_label_sets_do(one in labels(), other in labels()) {
        prop_assert_eq!(order_key(&one).cmp(&order_key(&other)), one.cmp(&other));
    }
}
