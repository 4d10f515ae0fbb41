//! Runs the content of a page: where the pen is, which glyphs are shown.

use std::rc::Rc;

use lopdf::content::Content;
use lopdf::{DecompressError, Dictionary, Document, Error, Object, ObjectId, Result, decode_text_string};

use super::font::{Font, Fonts};
use super::layout::Layout;

/// Forms inside of forms.
const MOST_DEPTH: usize = 12;
/// Graphics states that may be saved at once.
const MOST_SAVED: usize = 512;
/// Ways up the page tree to a page's resources.
const MOST_PARENTS: usize = 64;

/// `[a b c d e f]`, as the format writes it: x' = a x + c y + e, y' = b x + d y + f.
#[derive(Clone, Copy)]
struct Matrix([f64; 6]);

impl Matrix {
    const UNIT: Self = Self([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    fn shift(x: f64, y: f64) -> Self {
        Self([1.0, 0.0, 0.0, 1.0, x, y])
    }

    /// First `self`, then `after`.
    fn then(self, after: Self) -> Self {
        let (Self([a, b, c, d, e, f]), Self([g, h, i, j, k, l])) = (self, after);
        Self([a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + l])
    }

    fn apply(self, x: f64, y: f64) -> (f64, f64) {
        let Self([a, b, c, d, e, f]) = self;
        (a * x + c * y + e, b * x + d * y + f)
    }
}

#[derive(Clone)]
struct State {
    page: Matrix,
    font: Option<Rc<Font>>,
    size: f64,
    char_space: f64,
    word_space: f64,
    scale: f64,
    leading: f64,
    rise: f64,
}

/// What a stretch of marked content stands for, whatever its glyphs are.
struct Replaced {
    /// Marked stretches that were open when it began.
    depth: usize,
    /// The text, until the first glyph takes it.
    text: Option<String>,
}

struct Walk<'a, 'b> {
    document: &'a Document,
    fonts: &'b mut Fonts,
    budget: &'b mut usize,
    layout: &'b mut Layout,
    state: State,
    text: Matrix,
    line: Matrix,
    marked: usize,
    replaced: Option<Replaced>,
}

/// Shows the glyphs of a page to the layout. `budget` is the number of bytes of content that may still be run.
pub(super) fn page(
    document: &Document,
    id: ObjectId,
    content: &[u8],
    fonts: &mut Fonts,
    budget: &mut usize,
    layout: &mut Layout,
) -> Result<()> {
    let state = State {
        page: Matrix::UNIT,
        font: None,
        size: 0.0,
        char_space: 0.0,
        word_space: 0.0,
        scale: 1.0,
        leading: 0.0,
        rise: 0.0,
    };
    let (text, line) = (Matrix::UNIT, Matrix::UNIT);
    let mut walk = Walk { document, fonts, budget, layout, state, text, line, marked: 0, replaced: None };
    walk.run(content, resources(document, id), 0)
}

/// The resources of a page, its own or those of the nearest node above it.
fn resources(document: &Document, page: ObjectId) -> Option<&Dictionary> {
    let mut node = document.get_dictionary(page).ok()?;
    for _ in 0..MOST_PARENTS {
        if let Ok(resources) = node.get_deref(b"Resources", document).and_then(Object::as_dict) {
            return Some(resources);
        }
        node = node.get_deref(b"Parent", document).and_then(Object::as_dict).ok()?;
    }
    None
}

impl<'a> Walk<'a, '_> {
    fn run(&mut self, content: &[u8], resources: Option<&'a Dictionary>, depth: usize) -> Result<()> {
        *self.budget = self
            .budget
            .checked_sub(content.len())
            .ok_or(Error::Decompress(DecompressError::MemoryLimitExceeded { limit: *self.budget }))?;
        let mut saved = Vec::new();
        for operation in Content::decode_iter(content) {
            // A page that breaks off shows what came before.
            let Ok(operation) = operation else { break };
            let operands = operation.operands.as_slice();
            let number = |at: usize| operands.get(at).and_then(|object| object.as_float().ok()).map_or(0.0, f64::from);
            match operation.operator.as_str() {
                "q" if saved.len() < MOST_SAVED => saved.push(self.state.clone()),
                "Q" => self.state = saved.pop().unwrap_or_else(|| self.state.clone()),
                "cm" => self.state.page = matrix(operands).then(self.state.page),
                "BT" => (self.text, self.line) = (Matrix::UNIT, Matrix::UNIT),
                "Tc" => self.state.char_space = number(0),
                "Tw" => self.state.word_space = number(0),
                "Tz" => self.state.scale = number(0) / 100.0,
                "TL" => self.state.leading = number(0),
                "Ts" => self.state.rise = number(0),
                "Tf" => {
                    let font = operands.first().and_then(|name| self.resource(resources, b"Font", name));
                    self.state.font = font.and_then(|font| self.fonts.get(font, self.document));
                    self.state.size = number(1);
                }
                "gs" => {
                    let state = operands.first().and_then(|name| self.resource(resources, b"ExtGState", name));
                    self.graphics_state(state);
                }
                "Td" => self.next_line(number(0), number(1)),
                "TD" => {
                    self.state.leading = -number(1);
                    self.next_line(number(0), number(1));
                }
                "Tm" => (self.text, self.line) = (matrix(operands), matrix(operands)),
                "T*" => self.next_line(0.0, -self.state.leading),
                "Tj" => self.show(operands.first()),
                "'" => {
                    self.next_line(0.0, -self.state.leading);
                    self.show(operands.first());
                }
                "\"" => {
                    (self.state.word_space, self.state.char_space) = (number(0), number(1));
                    self.next_line(0.0, -self.state.leading);
                    self.show(operands.get(2));
                }
                "TJ" => {
                    for part in operands.first().and_then(|list| list.as_array().ok()).into_iter().flatten() {
                        match part.as_float() {
                            Ok(back) => self.advance(-f64::from(back) / 1000.0 * self.state.size),
                            Err(_) => self.show(Some(part)),
                        }
                    }
                }
                "Do" if depth < MOST_DEPTH => {
                    let form = operands.first().and_then(|name| self.resource(resources, b"XObject", name));
                    self.form(form, resources, depth)?;
                }
                "BMC" => self.marked += 1,
                "BDC" => {
                    self.marked += 1;
                    self.begin_marked(operands, resources);
                }
                "EMC" => {
                    self.marked = self.marked.saturating_sub(1);
                    if self.replaced.as_ref().is_some_and(|replaced| replaced.depth >= self.marked) {
                        self.replaced = None;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn resource<'r>(&self, resources: Option<&'r Dictionary>, kind: &[u8], name: &Object) -> Option<&'r Object>
    where
        'a: 'r,
    {
        let list = resources?.get_deref(kind, self.document).and_then(Object::as_dict).ok()?;
        list.get(name.as_name().ok()?).ok()
    }

    /// A font may be chosen by a stored graphics state too.
    fn graphics_state(&mut self, state: Option<&'a Object>) {
        let dictionary = state.and_then(|object| self.document.dereference(object).ok()?.1.as_dict().ok());
        let font = dictionary.and_then(|state| state.get_deref(b"Font", self.document).and_then(Object::as_array).ok());
        if let Some([font, size]) = font.map(Vec::as_slice) {
            self.state.font = self.fonts.get(font, self.document);
            self.state.size = size.as_float().map_or(0.0, f64::from);
        }
    }

    fn form(&mut self, form: Option<&'a Object>, outer: Option<&'a Dictionary>, depth: usize) -> Result<()> {
        let stream = form.and_then(|object| self.document.dereference(object).ok()?.1.as_stream().ok());
        let Some(stream) =
            stream.filter(|s| s.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|n| n == b"Form"))
        else {
            return Ok(());
        };
        let content = match stream.get_plain_content_with_limit(*self.budget) {
            Ok(content) => content,
            Err(error @ Error::Decompress(DecompressError::MemoryLimitExceeded { .. })) => return Err(error),
            // A broken picture is no reason to lose the page.
            Err(_) => return Ok(()),
        };
        let own = stream.dict.get_deref(b"Resources", self.document).and_then(Object::as_dict).ok();
        let before = (self.state.clone(), self.text, self.line, self.marked);
        if let Ok(list) = stream.dict.get_deref(b"Matrix", self.document).and_then(Object::as_array) {
            self.state.page = matrix(list).then(self.state.page);
        }
        // A form is charged a little even when it is empty, so that drawing it without end comes to an end.
        *self.budget = self.budget.saturating_sub(64);
        let result = self.run(&content, own.or(outer), depth + 1);
        (self.state, self.text, self.line, self.marked) = before;
        result
    }

    fn begin_marked(&mut self, operands: &[Object], resources: Option<&Dictionary>) {
        if self.replaced.is_some() {
            return;
        }
        let properties = match operands.get(1) {
            Some(Object::Dictionary(inline)) => Some(inline),
            Some(name @ Object::Name(_)) => self
                .resource(resources, b"Properties", name)
                .and_then(|object| self.document.dereference(object).ok()?.1.as_dict().ok()),
            _ => None,
        };
        let text = properties.and_then(|list| list.get_deref(b"ActualText", self.document).ok());
        if let Some(text) = text.and_then(|text| decode_text_string(text).ok()) {
            self.replaced = Some(Replaced { depth: self.marked - 1, text: Some(text) });
        }
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.line = Matrix::shift(x, y).then(self.line);
        self.text = self.line;
    }

    /// Moves the pen along the line, by a length in text space before scaling.
    fn advance(&mut self, by: f64) {
        let vertical = self.state.font.as_ref().is_some_and(|font| font.vertical);
        let shift = if vertical { Matrix::shift(0.0, by) } else { Matrix::shift(by * self.state.scale, 0.0) };
        self.text = shift.then(self.text);
    }

    fn show(&mut self, string: Option<&Object>) {
        let Some(Object::String(bytes, _)) = string else { return };
        let Some(font) = self.state.font.clone() else {
            self.layout.unknown += bytes.len() as u64;
            return;
        };
        for glyph in font.glyphs(bytes) {
            let State { page, size, char_space, word_space, rise, .. } = self.state;
            let before = self.text.then(page);
            let Matrix([a, b, c, d, ..]) = before;
            let space = char_space + if glyph.is_space { word_space } else { 0.0 };
            // From top to bottom a glyph takes the font's size, whatever its width.
            self.advance(if font.vertical { -size + space } else { glyph.width * size + space });
            let after = self.text.then(page);
            let (along, up) = if font.vertical { ((-c, -d), (a, b)) } else { ((a, b), (c, d)) };
            let sign = if size * self.state.scale < 0.0 { -1.0 } else { 1.0 };
            let length = along.0.hypot(along.1);
            if !(length > 0.0 && length.is_finite()) {
                continue;
            }
            let letters = match &mut self.replaced {
                Some(replaced) => Some(replaced.text.take().unwrap_or_default()),
                None => glyph.letters,
            };
            self.layout.glyph(
                letters.as_deref(),
                before.apply(0.0, rise),
                after.apply(0.0, rise),
                (sign * along.0 / length, sign * along.1 / length),
                (size * up.0.hypot(up.1)).abs(),
            );
        }
    }
}

fn matrix(operands: &[Object]) -> Matrix {
    let mut matrix = Matrix::UNIT;
    for (place, object) in matrix.0.iter_mut().zip(operands) {
        *place = object.as_float().map_or(0.0, f64::from);
    }
    matrix
}
