//! How the window looks: one set of sizes, two sets of colours.

use eframe::egui::{self, Color32, CornerRadius, FontId, Stroke, TextStyle, Theme, Vec2};

/// Colours with a meaning, for one theme.
#[derive(Debug, Clone, Copy)]
pub struct Palette {
    /// What can be acted upon, what is chosen.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// It worked, a positive.
    pub good: Color32,
    /// It did not work, a negative.
    pub bad: Color32,
    /// To be looked at.
    pub warn: Color32,
    /// Behind a group of things.
    pub card: Color32,
    /// Around it.
    pub edge: Color32,
    /// Behind the navigation and the status.
    pub rail: Color32,
    /// Secondary text.
    pub weak: Color32,
    /// Series of a plot that is neither good nor bad.
    pub series: [Color32; 3],
}

const DARK: Palette = Palette {
    accent: Color32::from_rgb(96, 165, 250),
    on_accent: Color32::from_rgb(10, 22, 40),
    good: Color32::from_rgb(74, 200, 130),
    bad: Color32::from_rgb(246, 116, 116),
    warn: Color32::from_rgb(240, 180, 70),
    card: Color32::from_rgb(33, 37, 44),
    edge: Color32::from_rgb(56, 62, 72),
    rail: Color32::from_rgb(20, 23, 28),
    weak: Color32::from_rgb(158, 166, 178),
    series: [Color32::from_rgb(96, 165, 250), Color32::from_rgb(240, 180, 70), Color32::from_rgb(190, 140, 250)],
};

const LIGHT: Palette = Palette {
    accent: Color32::from_rgb(29, 91, 199),
    on_accent: Color32::WHITE,
    good: Color32::from_rgb(20, 122, 68),
    bad: Color32::from_rgb(186, 36, 36),
    warn: Color32::from_rgb(150, 92, 0),
    card: Color32::from_rgb(255, 255, 255),
    edge: Color32::from_rgb(214, 219, 227),
    rail: Color32::from_rgb(232, 236, 242),
    weak: Color32::from_rgb(88, 96, 108),
    series: [Color32::from_rgb(29, 91, 199), Color32::from_rgb(176, 106, 0), Color32::from_rgb(120, 60, 190)],
};

/// The colours of the theme in use.
pub fn palette(ui: &egui::Ui) -> Palette {
    if ui.visuals().dark_mode { DARK } else { LIGHT }
}

/// Sets sizes and colours for both themes.
pub fn install(ctx: &egui::Context) {
    for (theme, palette) in [(Theme::Dark, DARK), (Theme::Light, LIGHT)] {
        ctx.style_mut_of(theme, |style| apply(style, &palette, theme));
    }
}

fn apply(style: &mut egui::Style, palette: &Palette, theme: Theme) {
    style.text_styles = [
        (TextStyle::Heading, FontId::proportional(22.0)),
        (TextStyle::Body, FontId::proportional(14.5)),
        (TextStyle::Button, FontId::proportional(14.5)),
        (TextStyle::Monospace, FontId::monospace(13.5)),
        (TextStyle::Small, FontId::proportional(12.0)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = Vec2::new(8.0, 7.0);
    spacing.button_padding = Vec2::new(11.0, 5.0);
    spacing.interact_size.y = 26.0;
    spacing.combo_width = 140.0;
    let visuals = &mut style.visuals;
    let (panel, field, text) = match theme {
        Theme::Dark => (Color32::from_rgb(26, 29, 35), Color32::from_rgb(17, 19, 23), Color32::from_rgb(226, 230, 236)),
        Theme::Light => (Color32::from_rgb(245, 247, 250), Color32::WHITE, Color32::from_rgb(28, 33, 40)),
    };
    visuals.panel_fill = panel;
    visuals.window_fill = panel;
    visuals.extreme_bg_color = field;
    visuals.faint_bg_color = palette.card;
    visuals.window_stroke = Stroke::new(1.0, palette.edge);
    visuals.hyperlink_color = palette.accent;
    visuals.warn_fg_color = palette.warn;
    visuals.error_fg_color = palette.bad;
    visuals.weak_text_color = Some(palette.weak);
    visuals.selection.bg_fill = palette.accent.gamma_multiply(if theme == Theme::Dark { 0.45 } else { 0.28 });
    visuals.selection.stroke = Stroke::new(1.0, text);
    visuals.widgets.noninteractive.fg_stroke.color = text;
    visuals.widgets.noninteractive.bg_stroke.color = palette.edge;
    for widget in [&mut visuals.widgets.inactive, &mut visuals.widgets.hovered, &mut visuals.widgets.active] {
        widget.corner_radius = CornerRadius::same(6);
        widget.fg_stroke.color = text;
    }
    // A field is seen as one before it is clicked.
    visuals.widgets.inactive.bg_stroke = Stroke::new(1.0, palette.edge);
    visuals.widgets.hovered.bg_stroke = Stroke::new(1.0, palette.weak);
    visuals.widgets.active.bg_stroke = Stroke::new(1.5, palette.accent);
    if theme == Theme::Light {
        visuals.widgets.inactive.weak_bg_fill = Color32::from_rgb(232, 236, 242);
        visuals.widgets.hovered.weak_bg_fill = Color32::from_rgb(222, 228, 236);
    } else {
        visuals.widgets.inactive.weak_bg_fill = Color32::from_rgb(48, 54, 64);
        visuals.widgets.hovered.weak_bg_fill = Color32::from_rgb(60, 68, 80);
    }
}
