//! The encodings of single bytes that the format names, and the Adobe Glyph List.

use read_fonts::ps::agl;

/// Letters of the bytes from 0x7f on; below they are ASCII. A `\0` has none.
const WIN_ANSI: &str = "\
    •€•‚ƒ„…†‡ˆ‰Š‹Œ•Ž••‘’“”•–—˜™š›œ•žŸ ¡¢£¤¥¦§¨©ª«¬-®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíî\
    ïðñòóôõö÷øùúûüýþÿ";
/// The same of Adobe's own; below 0x7f only its quotes are not ASCII.
const STANDARD: &str = "\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0¡¢£⁄¥ƒ§¤'“«‹›ﬁﬂ\0–†‡·\0¶•‚„”»…‰\0¿\0`´ˆ˜¯˘˙¨\
    \0˚¸\0˝˛ˇ—\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0Æ\0ª\0\0\0\0ŁØŒº\0\0\0\0\0æ\0\0\0ı\0\0łøœß\0\0\0\0";
/// The same of the Macintosh.
const MAC_ROMAN: &str = "\
    \0ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»… ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄¤‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌ\
    ÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";
/// Letters of the bytes from 0x20 on in expert fonts: small capitals, fractions, old figures.
const MAC_EXPERT: &str = " \u{f721}\u{f6f8}\u{f7a2}\u{f724}\u{f6e4}\u{f726}\u{f7b4}⁽⁾‥․,-.⁄\u{f730}\u{f731}\u{f732}\u{f733}\u{f734}\
    \u{f735}\u{f736}\u{f737}\u{f738}\u{f739}:;\0\u{f6de}\0\u{f73f}\0\0\0\0\u{f7f0}\0\0¼½¾⅛⅜⅝⅞⅓⅔\0\0\0\0\0\0ﬀﬁﬂﬃﬄ₍\0₎\
    \u{f6f6}\u{f6e5}\u{f760}\u{f761}\u{f762}\u{f763}\u{f764}\u{f765}\u{f766}\u{f767}\u{f768}\u{f769}\u{f76a}\u{f76b}\
    \u{f76c}\u{f76d}\u{f76e}\u{f76f}\u{f770}\u{f771}\u{f772}\u{f773}\u{f774}\u{f775}\u{f776}\u{f777}\u{f778}\u{f779}\
    \u{f77a}₡\u{f6dc}\u{f6dd}\u{f6fe}\0\0\u{f6e9}\u{f6e0}\0\0\0\0\u{f7e1}\u{f7e0}\u{f7e2}\u{f7e4}\u{f7e3}\u{f7e5}\
    \u{f7e7}\u{f7e9}\u{f7e8}\u{f7ea}\u{f7eb}\u{f7ed}\u{f7ec}\u{f7ee}\u{f7ef}\u{f7f1}\u{f7f3}\u{f7f2}\u{f7f4}\u{f7f6}\
    \u{f7f5}\u{f7fa}\u{f7f9}\u{f7fb}\u{f7fc}\0⁸₄₃₆₈₇\u{f6fd}\0\u{f6df}₂\0\u{f7a8}\0\u{f6f5}\u{f6f0}₅\0\u{f6e1}\
    \u{f6e7}\u{f7fd}\0\u{f6e3}\0\0\u{f7fe}\0₉₀\u{f6ff}\u{f7e6}\u{f7f8}\u{f7bf}₁\u{f6f9}\0\0\0\0\0\0\u{f7b8}\0\0\0\0\
    \0\u{f6fa}‒\u{f6e6}\0\0\0\0\u{f7a1}\0\u{f7ff}\0¹²³⁴⁵⁶⁷⁹⁰\0\u{f6ec}\u{f6f1}\u{f6f3}\0\0\u{f6ed}\u{f6f2}\u{f6eb}\0\
    \0\0\0\0\u{f6ee}\u{f6fb}\u{f6f4}\u{f7af}\u{f6ea}ⁿ\u{f6ef}\u{f6e2}\u{f6e8}\u{f6f7}\u{f6fc}\0\0\0\0";

/// The letters of all bytes in an encoding, by its name in the format; none of one that it does not have.
pub(super) fn table(name: &[u8]) -> Vec<Option<String>> {
    let (first, letters) = match name {
        // The second is none for fonts, and near the first.
        b"WinAnsiEncoding" | b"PDFDocEncoding" => (0x7f, WIN_ANSI),
        b"MacRomanEncoding" => (0x7f, MAC_ROMAN),
        b"MacExpertEncoding" => (0x20, MAC_EXPERT),
        b"StandardEncoding" => (0x7f, STANDARD),
        _ => return vec![None; 256],
    };
    let mut table: Vec<char> = vec!['\0'; 0x20];
    table.extend((0x20..first).map(char::from));
    table.extend(letters.chars());
    if name == b"StandardEncoding" {
        (table[0x27], table[0x60]) = ('\u{2019}', '\u{2018}');
    }
    table.into_iter().map(|letter| (letter != '\0').then(|| letter.to_string())).collect()
}

/// The letters of a glyph's name that the list has.
pub(super) fn listed(name: &str) -> Option<String> {
    Some(agl::name_to_chars(name).collect()).filter(|letters: &String| !letters.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_differ_where_they_should() {
        let letter = |name: &str, byte: usize| table(name.as_bytes())[byte].clone();
        for (name, byte, expected) in [
            ("WinAnsiEncoding", 0x80, Some("€")),
            ("WinAnsiEncoding", 0xff, Some("ÿ")),
            ("MacRomanEncoding", 0x8e, Some("é")),
            ("MacRomanEncoding", 0xff, Some("ˇ")),
            ("StandardEncoding", 0xae, Some("\u{fb01}")),
            ("StandardEncoding", 0x27, Some("’")),
            ("StandardEncoding", 0x80, None),
            ("MacExpertEncoding", 0x47, Some("¼")),
            ("MacExpertEncoding", 0x56, Some("\u{fb00}")),
            ("WinAnsiEncoding", 0x41, Some("A")),
            ("WinAnsiEncoding", 0x1f, None),
            ("NoEncoding", 0x41, None),
        ] {
            assert_eq!(letter(name, byte).as_deref(), expected, "{name} {byte:x}");
        }
        for name in ["WinAnsiEncoding", "MacRomanEncoding", "MacExpertEncoding", "StandardEncoding"] {
            assert_eq!(table(name.as_bytes()).len(), 256, "{name}");
        }
    }
}
