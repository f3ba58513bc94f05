//! The nearest name to a mistyped one.

/// Longer names are not compared.
const NAME_CHARS_MAX: usize = 64;

/// The known name that a mistyped one most likely means: the fewest insertions, removals,
/// replacements and swaps of neighbours away, at most a third of its length. Case does not count,
/// nor `-` for `_`. The earlier of two equally near ones.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = folded(name)?;
    let most = (name.len() / 3).max(1);
    let near = known.into_iter().filter_map(|one| {
        let distance = distance(&name, &folded(one)?);
        (distance <= most && distance < name.len()).then_some((distance, one))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, one)| one)
}

fn folded(name: &str) -> Option<Vec<char>> {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let folded: Vec<char> = name.chars().take(NAME_CHARS_MAX + 1).map(fold).collect();
    (!folded.is_empty() && folded.len() <= NAME_CHARS_MAX).then_some(folded)
}

/// Optimal string alignment: row `i`, column `j` = cost from the first `i` of `a` to the first `j`
/// of `b`, the least of removal, insertion, replacement, swap.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut two_above: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
            let mut least = at(&above, j) + usize::from(x != y);
            least = least.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let before =
                |chars: &[char], k: usize| k.checked_sub(1).and_then(|k| chars.get(k).copied());
            if before(a, i) == Some(*y) && before(b, j) == Some(*x) {
                least = least.min(at(&two_above, j - 1) + 1);
            }
            row.push(least);
        }
        two_above = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}
