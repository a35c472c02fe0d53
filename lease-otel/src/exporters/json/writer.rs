//! Objects without what is empty.

use std::fmt::{Display, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::exporters::go;

/// A JSON object that is being written.
#[derive(Debug)]
pub(super) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn open(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    pub(super) fn close(self) {
        self.out.push('}');
    }

    fn key(&mut self, key: &str) {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        // No key of OTLP has a character that is to be escaped.
        self.bare_write(format_args!("\"{key}\":"));
    }

    fn bare_write(&mut self, value: impl Display) {
        // Writing to a text cannot fail.
        let _ = write!(self.out, "{value}");
    }

    fn list<T>(&mut self, key: &str, items: &[T], mut item: impl FnMut(&mut String, &T)) {
        if items.is_empty() {
            return;
        }
        self.key(key);
        for (index, value) in items.iter().enumerate() {
            self.out.push(if index == 0 { '[' } else { ',' });
            item(self.out, value);
        }
        self.out.push(']');
    }

    /// An object, also an empty one.
    pub(super) fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        let mut object = Object::open(self.out);
        write(&mut object);
        object.close();
    }

    pub(super) fn objects<T>(&mut self, key: &str, items: &[T], mut write: impl FnMut(&mut Object<'_>, &T)) {
        self.list(key, items, |out, item| {
            let mut object = Object::open(out);
            write(&mut object, item);
            object.close();
        });
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.any_text(key, text);
        }
    }

    /// A text, also an empty one.
    pub(super) fn any_text(&mut self, key: &str, text: &str) {
        self.key(key);
        go::quoted(self.out, text, |_| false);
    }

    pub(super) fn texts(&mut self, key: &str, texts: &[String]) {
        self.list(key, texts, |out, text| go::quoted(out, text, |_| false));
    }

    pub(super) fn bare(&mut self, key: &str, value: impl Display) {
        self.key(key);
        self.bare_write(value);
    }

    pub(super) fn number(&mut self, key: &str, value: i32) {
        if value != 0 {
            self.bare(key, value);
        }
    }

    pub(super) fn count(&mut self, key: &str, value: u32) {
        if value != 0 {
            self.bare(key, value);
        }
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.bare(key, value);
        }
    }

    /// Numbers of 64 bits are texts, because readers of JSON often know doubles only.
    pub(super) fn quoted_number(&mut self, key: &str, value: impl Display) {
        self.bare(key, format_args!("\"{value}\""));
    }

    pub(super) fn nanos(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.quoted_number(key, value);
        }
    }

    pub(super) fn quoted_numbers(&mut self, key: &str, values: &[u64]) {
        self.list(key, values, |out, value| {
            let _ = write!(out, "\"{value}\"");
        });
    }

    pub(super) fn double(&mut self, key: &str, value: f64) {
        if value != 0.0 {
            self.any_double(key, value);
        }
    }

    /// A double, also zero.
    pub(super) fn any_double(&mut self, key: &str, value: f64) {
        self.key(key);
        self.out.push_str(&go::otlp_json(value));
    }

    pub(super) fn doubles(&mut self, key: &str, values: &[f64]) {
        self.list(key, values, |out, value| out.push_str(&go::otlp_json(*value)));
    }

    pub(super) fn base64(&mut self, key: &str, bytes: &[u8]) {
        self.quoted_number(key, STANDARD.encode(bytes));
    }

    /// An id; one of zeros is none.
    pub(super) fn hex(&mut self, key: &str, bytes: &[u8]) {
        let text = go::hex(bytes);
        self.text(key, &text);
    }
}
