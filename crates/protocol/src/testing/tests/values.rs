//! Brings the `Debug` text of a decoded message into the form in which the vectors' generator prints Kafka's objects:
//! `{field=value,..}`, names without case and underscores, null for what is absent, unknown tagged fields as `tagN=[bytes]`.

/// The canonical form of `debug`.
pub(super) fn canonical(debug: &str) -> String {
    let mut parser = Parser { rest: debug, out: String::new() };
    parser.value();
    assert_eq!(parser.rest, "", "all of it is one value: {debug}");
    parser.out
}

/// FNV-1a with 64 bits, as the generator hashes.
pub(super) fn fnv1a(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

struct Parser<'a> {
    rest: &'a str,
    out: String,
}

impl<'a> Parser<'a> {
    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => self.rest = rest,
            None => return false,
        }
        true
    }

    fn expect(&mut self, token: &str) {
        assert!(self.eat(token), "`{token}` is expected before `{:.60}`", self.rest);
    }

    /// Everything up to the first character that `ends` takes.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn value(&mut self) {
        match self.rest.chars().next() {
            Some('[') => self.list(),
            Some('"') => {
                self.expect("\"");
                let text = self.until(|c| c == '"');
                assert!(!text.contains('\\'), "the vectors hold no text that Debug escapes: {text}");
                self.out.extend(["\"", text, "\""]);
                self.expect("\"");
            }
            Some(first) if first == '-' || first.is_ascii_digit() => {
                let number = self.until(|c| matches!(c, ',' | ' ' | ')' | ']' | '}'));
                self.out.push_str(number);
            }
            _ => self.named(),
        }
    }

    fn list(&mut self) {
        self.expect("[");
        self.out.push('[');
        while !self.eat("]") {
            self.value();
            if self.eat(", ") {
                self.out.push(',');
            }
        }
        self.out.push(']');
    }

    /// A structure, a variant with something in it, or a word.
    fn named(&mut self) {
        let name = self.until(|c| !c.is_ascii_alphanumeric() && c != '_');
        if self.eat(" { ") {
            self.fields();
        } else if self.eat("(") {
            match name {
                "Uuid" => {
                    let id = self.until(|c| c == ')');
                    self.out.push_str(id);
                }
                "Some" | "Bytes" => self.value(),
                other => panic!("no vector holds a `{other}`"),
            }
            self.expect(")");
        } else {
            self.out.push_str(match name {
                "None" | "Null" => "null",
                "true" | "false" => name,
                _ => "{}", // a structure without fields
            });
        }
    }

    fn fields(&mut self) {
        self.out.push('{');
        let mut comma = "";
        while !self.eat(" }") {
            let name = self.until(|c| c == ':').replace('_', "").to_lowercase();
            self.expect(": ");
            if name == "unknowntags" {
                self.unknown_tags(comma);
            } else {
                self.out.extend([comma, &name, "="]);
                self.value();
            }
            comma = ",";
            self.eat(", ");
        }
        self.out.push('}');
    }

    fn unknown_tags(&mut self, mut comma: &'static str) {
        self.expect("UnknownTags(");
        if self.eat("Some([") {
            while !self.eat("])") {
                self.expect("(");
                let tag = self.until(|c| c == ',');
                self.out.extend([comma, "tag", tag, "="]);
                comma = ",";
                self.expect(", ");
                self.value();
                self.expect(")");
                self.eat(", ");
            }
        } else {
            self.expect("None");
        }
        self.expect(")");
    }
}

#[test]
fn the_debug_form_becomes_the_generators_form() {
    let debug = "A { group_id: Some(\"é\"), type_: None, list: [B { x: -1, ok: true }, B], id: Uuid(AAAAAAAAAAAAAAAAAAAAAA), \
                 records: Bytes([1, 2]), unknown_tags: UnknownTags(Some([(7, [1]), (9, [])])) }";
    let wanted =
        "{groupid=\"é\",type=null,list=[{x=-1,ok=true},{}],id=AAAAAAAAAAAAAAAAAAAAAA,records=[1,2],tag7=[1],tag9=[]}";
    assert_eq!(canonical(debug), wanted);
}
