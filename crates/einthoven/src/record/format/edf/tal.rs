//! Time-stamped annotation lists of EDF+: `+onset[0x15 duration] 0x14 text 0x14 ... 0x14 0x00`.

/// One list: a time and its texts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tal {
    /// Seconds after the header's start time.
    pub onset_s: f64,
    /// Texts that are not empty.
    pub texts: Vec<String>,
    /// Whether the first text is empty, which makes the onset the start of the data record.
    pub is_timekeeping: bool,
}

/// What breaks a list, and where in the area.
pub(super) struct Fault {
    pub at: usize,
    pub found: String,
    pub expected: &'static str,
}

/// Separates texts.
const TEXT_END: u8 = 0x14;
/// Stands before a duration.
const DURATION: u8 = 0x15;

/// Appends the lists of one data record's area.
pub(super) fn parse(area: &[u8], lists: &mut Vec<Tal>) -> Result<(), Fault> {
    let mut at = 0;
    while at < area.len() {
        if area[at] == 0 {
            at += 1;
            continue;
        }
        let Some(len) = area[at..].iter().position(|&byte| byte == 0) else {
            return Err(Fault { at, found: "no final NUL".into(), expected: "each list to end with NUL" });
        };
        lists.push(list(&area[at..at + len], at)?);
        at += len + 1;
    }
    Ok(())
}

/// One list without its NUL.
fn list(bytes: &[u8], at: usize) -> Result<Tal, Fault> {
    let shown = |bytes: &[u8]| format!("\"{}\"", bytes[..bytes.len().min(40)].escape_ascii());
    let Some(end) = bytes.iter().position(|&byte| byte == TEXT_END) else {
        return Err(Fault { at, found: shown(bytes), expected: "an onset that ends with 0x14" });
    };
    let mut times = bytes[..end].split(|&byte| byte == DURATION);
    let onset = times.next().unwrap_or_default();
    let duration = times.next();
    let onset_s = seconds(onset).filter(|_| matches!(onset.first(), Some(b'+' | b'-'))).ok_or_else(|| Fault {
        at,
        found: shown(onset),
        expected: "an onset such as \"+1.5\"",
    })?;
    if times.next().is_some() || duration.is_some_and(|text| seconds(text).is_none()) {
        let found = shown(&bytes[..end]);
        return Err(Fault { at, found, expected: "a duration such as \"1.5\"" });
    }
    let texts: Vec<&[u8]> = bytes[end + 1..].split(|&byte| byte == TEXT_END).collect();
    let is_timekeeping = texts.first().is_some_and(|text| text.is_empty()) && texts.len() > 1;
    let texts = texts.iter().filter(|text| !text.is_empty()).map(|text| text_of(text)).collect();
    Ok(Tal { onset_s, texts, is_timekeeping })
}

/// Digits with an optional sign and decimal point, nothing else.
fn seconds(bytes: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && digits.len() <= 64;
    text.parse().ok().filter(|seconds: &f64| is_plain && seconds.is_finite())
}

/// UTF-8 as the format asks, or Latin-1 as some write.
fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// The bytes of a list with one text; an empty text makes it the start of a data record.
pub(super) fn encode(onset_s: f64, text: &str) -> Vec<u8> {
    let sign = if onset_s < 0.0 { "" } else { "+" };
    let mut bytes = format!("{sign}{onset_s}").into_bytes();
    bytes.push(TEXT_END);
    bytes.extend(text.bytes());
    bytes.extend([TEXT_END, 0]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_onset_duration_and_texts() {
        let mut lists = Vec::new();
        let area = b"+0\x14\x14\x00-0.5\x152\x14a\x14b\x14\x00\x00\x00";
        assert!(parse(area, &mut lists).is_ok());
        assert_eq!(lists.len(), 2);
        assert!(lists[0].is_timekeeping && lists[0].texts.is_empty());
        assert_eq!((lists[1].onset_s, lists[1].texts.join(",").as_str()), (-0.5, "a,b"));
        for (broken, at) in [(&b"+1\x14a\x14"[..], 0), (b"+0\x14\x14\x001\x14\x00", 5), (b"+0\x15x\x14\x00", 0)] {
            assert_eq!(parse(broken, &mut lists).err().map(|fault| fault.at), Some(at));
        }
    }

    #[test]
    fn what_is_encoded_is_parsed() {
        let mut lists = Vec::new();
        let mut area = encode(0.0, "");
        area.extend(encode(1.0 / 3.0, "N"));
        assert!(parse(&area, &mut lists).is_ok());
        assert_eq!((lists[0].is_timekeeping, lists[1].onset_s), (true, 1.0 / 3.0));
    }
}
