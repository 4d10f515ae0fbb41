//! The fields of a line of values between separators.

/// The fields of a line. A field that starts with a quote ends with one, and `""` inside it is a quote. `None` when a
/// quote is not closed.
pub(super) fn fields(line: &str, separator: char) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        // People put a space after a comma.
        let text = if separator != '\t' && text.trim_start().starts_with('"') { text.trim_start() } else { text };
        let Some(quoted) = text.strip_prefix('"') else {
            let (field, after) = text.split_once(separator).map_or((text, None), |(field, after)| (field, Some(after)));
            fields.push(field.to_owned());
            rest = after;
            continue;
        };
        let mut field = String::new();
        let mut text = quoted;
        let after = loop {
            let (part, after) = text.split_once('"')?;
            field.push_str(part);
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    text = after;
                }
                None => break after,
            }
        };
        // What follows a closing quote belongs to the field, as csv readers have it.
        let (tail, after) = after.split_once(separator).map_or((after, None), |(tail, after)| (tail, Some(after)));
        field.push_str(tail);
        fields.push(field);
        rest = after;
    }
    Some(fields)
}
