//! Named things of the host (processors, disks, interfaces, fields) that come and go.
//!
//! The kernel lists them in the same order row after row, so that finding one is a comparison with
//! the next; anything else is a search from there. What was not found in a row is gone.

/// Names and what is kept for each, in the order of the first sight.
#[derive(Debug)]
pub struct Roster<T> {
    entries: Vec<Entry<T>>,
    /// Where the next name is expected.
    next: usize,
    row: u32,
}

#[derive(Debug)]
struct Entry<T> {
    name: Box<[u8]>,
    row: u32,
    kept: T,
}

/// Names in one roster; the kernel's own limits are below it.
pub const NAMES_MAX: usize = 16_384;

impl<T> Default for Roster<T> {
    fn default() -> Roster<T> {
        Roster { entries: Vec::new(), next: 0, row: 0 }
    }
}

impl<T> Roster<T> {
    /// Starts a row: nothing has been found yet.
    pub fn begin(&mut self) {
        self.next = 0;
        self.row = self.row.wrapping_add(1);
    }

    /// Finds a name and marks it as present in this row.
    pub fn find(&mut self, name: &[u8]) -> Option<&mut T> {
        let is_it = |entry: &Entry<T>| &*entry.name == name;
        let place = if self.entries.get(self.next).is_some_and(is_it) {
            self.next
        } else {
            let after = self.entries.iter().skip(self.next).position(is_it);
            after.map(|n| n + self.next).or_else(|| self.entries.iter().position(is_it))?
        };
        self.next = place + 1;
        let entry = self.entries.get_mut(place)?;
        entry.row = self.row;
        Some(&mut entry.kept)
    }

    /// Adds a name that was not found, present in this row; `None` past [`NAMES_MAX`].
    pub fn add(&mut self, name: &[u8], kept: T) -> Option<&mut T> {
        if self.entries.len() >= NAMES_MAX {
            return None;
        }
        let place = self.next.min(self.entries.len());
        self.entries.insert(place, Entry { name: name.into(), row: self.row, kept });
        self.next = place + 1;
        self.entries.get_mut(place).map(|entry| &mut entry.kept)
    }

    /// Ends a row: takes out what was not found in it.
    pub fn take_gone(&mut self, mut each: impl FnMut(T)) {
        if self.entries.iter().all(|entry| entry.row == self.row) {
            return;
        }
        let (present, gone) =
            std::mem::take(&mut self.entries).into_iter().partition(|e| e.row == self.row);
        self.entries = present;
        let gone: Vec<Entry<T>> = gone;
        gone.into_iter().for_each(|entry| each(entry.kept));
    }

    /// What is kept for each name, with the name.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&[u8], &mut T)> {
        self.entries.iter_mut().map(|entry| (&*entry.name, &mut entry.kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of names; returns which were new and which are gone.
    fn row(roster: &mut Roster<String>, names: &[&str]) -> (Vec<String>, Vec<String>) {
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        roster.begin();
        for name in names {
            match roster.find(name.as_bytes()) {
                Some(kept) => assert_eq!(kept, name),
                None => {
                    roster.add(name.as_bytes(), (*name).to_owned()).unwrap();
                    new.push((*name).to_owned());
                }
            }
        }
        roster.take_gone(|name| gone.push(name));
        (new, gone)
    }

    #[test]
    fn names_come_and_go_in_any_order() {
        let mut roster = Roster::default();
        assert_eq!(row(&mut roster, &["a", "b", "c"]).0, ["a", "b", "c"]);
        assert_eq!(row(&mut roster, &["a", "b", "c"]), (vec![], vec![]));
        assert_eq!(row(&mut roster, &["c", "x", "a"]), (vec!["x".into()], vec!["b".into()]));
        assert_eq!(row(&mut roster, &["x", "b"]).0, ["b"]);
        assert_eq!(row(&mut roster, &[]).1.len(), 2);
    }

    #[test]
    fn names_are_bounded() {
        let mut roster = Roster::default();
        roster.begin();
        for n in 0..NAMES_MAX {
            assert!(roster.add(n.to_string().as_bytes(), ()).is_some());
        }
        assert!(roster.add(b"one more", ()).is_none());
    }
}
