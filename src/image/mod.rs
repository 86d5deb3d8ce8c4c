//! Images: the store, and the archives that fill it.
