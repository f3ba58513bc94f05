//! The format of `mountinfo`: a line for each mount.
//!
//! `36 35 98:0 /root /point options fields… - type device options`, with a blank, a tab, a line end
//! and a backslash in a name written as a backslash and three octal digits.

use crate::pure::input::InputError;
use crate::pure::scan;

/// What tells mounts apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MountKey {
    pub(super) point: Box<str>,
    pub(super) device: Box<str>,
    pub(super) kind: Box<str>,
}

/// A mount.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) key: MountKey,
    pub(super) is_readonly: bool,
}

/// All mounts of a list, in its order.
pub(super) fn list(text: &[u8], path: &str) -> Result<Vec<Mount>, InputError> {
    let mounts = scan::lines(text).map(|(number, line)| {
        mount(line).ok_or_else(|| InputError::parse(path, number, "a mount expected"))
    });
    mounts.collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = scan::fields(line);
    let point = fields.nth(4)?;
    let options = fields.next()?;
    fields.find(|field| *field == b"-")?;
    let (kind, device, of_device) = (fields.next()?, fields.next()?, fields.next()?);
    let is_readonly = |options: &[u8]| options.split(|b| *b == b',').any(|option| option == b"ro");
    Some(Mount {
        key: MountKey { point: plain(point), device: plain(device), kind: plain(kind) },
        is_readonly: is_readonly(options) || is_readonly(of_device),
    })
}

/// A name without the kernel's escapes.
fn plain(name: &[u8]) -> Box<str> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [byte, after @ ..] = rest {
        let octal = |digits: &[u8]| {
            digits
                .iter()
                .try_fold(0_u32, |value, digit| Some(value * 8 + char::from(*digit).to_digit(8)?))
        };
        let escaped = match (byte, after.split_at_checked(3)) {
            (b'\\', Some((digits, after))) => {
                octal(digits).and_then(|value| u8::try_from(value).ok()).map(|byte| (byte, after))
            }
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*byte, after));
        plain.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_their_escapes_and_options() {
        let text = b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            40 22 0:50 / /srv/a\\040b\\134c rw shared:7 master:1 - nfs4 host:/x\\011y ro,vers=4.2\n\
            41 22 8:1 / /boot ro,nosuid - vfat /dev/sda1 rw\n";
        let all = list(text, "f").unwrap();
        let shown: Vec<_> = all
            .iter()
            .map(|m| (&*m.key.point, &*m.key.device, &*m.key.kind, m.is_readonly))
            .collect();
        let expected = [
            ("/", "/dev/vda", "ext4", false),
            ("/srv/a b\\c", "host:/x\ty", "nfs4", true),
            ("/boot", "/dev/sda1", "vfat", true),
        ];
        assert_eq!(shown, expected);
        let error = list(b"22 1 254:0 / / rw ext4 /dev/vda rw\n", "f").unwrap_err();
        assert_eq!(error.to_string(), "f:1: a mount expected");
        assert_eq!(&*plain(b"\\04\\999\\777"), "\\04\\999\\777");
    }
}
