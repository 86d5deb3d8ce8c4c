//! RL03xx: images, archives and the store.

use super::entries;

entries! {
    /// No image of that name.
    IMAGE_NOT_FOUND = 301, exit 125, "no such image",
        why "The store has no image of that name, and nothing was allowed or able to fetch it.",
        fix "See what there is: rl images. Make one: rl import FILE NAME.";
}
