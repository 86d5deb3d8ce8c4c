//! regex-lite, by the authors of regex, in the place of regex.
//!
//! Owns nothing. oci-spec asks regex one question, whether a list of processors is one (`^(\d+(-\d+)?)(,\d+(-\d+)?)*$`), and brings
//! Unicode's tables for it: a third of all relocated data of the program, which every start relocates and every supervisor has for
//! itself. The surprise: `\d` is an ASCII digit here, as it is in a list of processors.

pub use regex_lite::*;
