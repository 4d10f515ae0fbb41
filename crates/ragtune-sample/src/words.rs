//! Closed lists of answers. All lists are disjoint, and none of their words occurs in the registers' own wording.
//! Words that follow "a" start with a consonant.

/// What towns trade and ships carry.
pub(crate) const GOODS: &[&str] = &[
    "salt", "wool", "timber", "leather", "copper", "barley", "honey", "linen", "amber", "tin", "wax", "hemp", "cider",
    "flour", "rope", "soap", "pottery", "cheese", "saffron", "iron", "paper", "glass", "olives", "silk", "cotton",
    "oats", "pepper", "ink", "candles", "coal", "butter", "sugar", "herring", "resin",
];

/// What bridges are built of.
pub(crate) const MATERIALS: &[&str] = &[
    "granite",
    "limestone",
    "oak",
    "brick",
    "sandstone",
    "basalt",
    "steel",
    "larch",
    "marble",
    "pine",
    "cedar",
    "elm",
    "flint",
    "concrete",
    "birch",
    "bronze",
    "willow",
    "slate",
    "chalk",
    "clay",
    "bamboo",
    "teak",
    "walnut",
    "rubble",
    "beech",
    "ash",
    "yew",
    "spruce",
    "quartz",
    "maple",
];

/// What workshops make.
pub(crate) const PRODUCTS: &[&str] = &[
    "clocks", "bells", "boots", "barrels", "lanterns", "saddles", "kettles", "ploughs", "mirrors", "carpets",
    "anchors", "locks", "knives", "hats", "gloves", "baskets", "wheels", "scales", "needles", "buttons", "spoons",
    "chairs", "ladders", "combs", "kites", "dolls", "ovens", "pumps", "nets", "masks", "brushes", "hammers",
];

/// What workshops bear in their sign.
pub(crate) const ANIMALS: &[&str] = &[
    "fox", "bear", "heron", "stag", "wolf", "hare", "raven", "goose", "swan", "badger", "lynx", "dolphin", "falcon",
    "boar", "crane", "beaver", "tiger", "lion", "horse", "mole", "bull", "robin", "pike", "salmon", "trout", "frog",
    "toad", "viper", "moth", "hornet",
];

/// What schools teach.
pub(crate) const SUBJECTS: &[&str] = &[
    "grammar",
    "music",
    "law",
    "medicine",
    "botany",
    "geometry",
    "rhetoric",
    "painting",
    "drawing",
    "navigation",
    "weaving",
    "carving",
    "chemistry",
    "fencing",
    "dancing",
    "logic",
    "poetry",
    "geology",
    "history",
    "surgery",
    "cooking",
    "printing",
    "masonry",
    "gardening",
    "singing",
    "brewing",
    "riding",
    "sewing",
    "acting",
    "optics",
];

/// The colours of school coats and ship hulls.
pub(crate) const COLOURS: &[&str] = &[
    "red",
    "blue",
    "green",
    "yellow",
    "white",
    "black",
    "purple",
    "orange",
    "grey",
    "brown",
    "pink",
    "scarlet",
    "violet",
    "crimson",
    "silver",
    "turquoise",
    "ivory",
    "indigo",
    "maroon",
    "beige",
    "teal",
    "khaki",
    "lilac",
    "coral",
    "cream",
    "gold",
    "azure",
    "magenta",
    "rose",
    "ochre",
    "mauve",
];

/// What festivals celebrate.
pub(crate) const PLANTS: &[&str] = &[
    "apples",
    "cherries",
    "plums",
    "tulips",
    "roses",
    "lilies",
    "pumpkins",
    "grapes",
    "pears",
    "peaches",
    "figs",
    "turnips",
    "cabbages",
    "beans",
    "lentils",
    "mushrooms",
    "daisies",
    "poppies",
    "lavender",
    "clover",
    "violets",
    "strawberries",
    "quinces",
    "onions",
    "garlic",
    "mint",
    "radishes",
    "melons",
    "carrots",
    "lemons",
];

/// When festivals are held.
pub(crate) const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What persons work as.
pub(crate) const PROFESSIONS: &[&str] = &[
    "baker",
    "miller",
    "potter",
    "weaver",
    "smith",
    "carpenter",
    "sailor",
    "painter",
    "printer",
    "gardener",
    "doctor",
    "lawyer",
    "judge",
    "poet",
    "composer",
    "shepherd",
    "tailor",
    "cooper",
    "tanner",
    "mason",
    "clockmaker",
    "glazier",
    "farmer",
    "brewer",
    "butcher",
    "cobbler",
    "translator",
    "surveyor",
    "librarian",
    "sculptor",
    "dyer",
    "hatter",
];

/// What persons play.
pub(crate) const INSTRUMENTS: &[&str] = &[
    "fiddle", "harp", "flute", "drum", "lute", "trumpet", "cello", "piano", "guitar", "horn", "viola", "bassoon",
    "clarinet", "tuba", "banjo", "cymbal", "zither", "bagpipe", "lyre", "mandolin", "trombone", "piccolo", "recorder",
    "fife", "bugle", "dulcimer", "gong", "whistle", "cornet", "spinet",
];

#[cfg(test)]
pub(crate) const ALL: [&[&str]; 10] =
    [GOODS, MATERIALS, PRODUCTS, ANIMALS, SUBJECTS, COLOURS, PLANTS, MONTHS, PROFESSIONS, INSTRUMENTS];
