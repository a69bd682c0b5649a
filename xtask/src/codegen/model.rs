//! A schema as data.

/// An inclusive range of versions; open ranges end at [`Versions::OPEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) low: i16,
    pub(super) high: i16,
}

impl Versions {
    pub(super) const OPEN: i16 = i16::MAX;
    pub(super) const NONE: Versions = Versions { low: 1, high: 0 };

    pub(super) fn is_empty(self) -> bool {
        self.low > self.high
    }

    pub(super) fn and(self, other: Versions) -> Versions {
        Versions { low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    /// Whether every version of `other` is one of these.
    pub(super) fn covers(self, other: Versions) -> bool {
        other.is_empty() || (self.low <= other.low && other.high <= self.high)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint16,
    Uint32,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Type,
    pub(super) versions: Versions,
    pub(super) nullable: Versions,
    /// Tag and the versions in which the field is tagged.
    pub(super) tag: Option<(u32, Versions)>,
    pub(super) default: Option<String>,
    pub(super) ignorable: bool,
    pub(super) never_compact: bool,
}

impl Field {
    /// Whether the field can be null in any version.
    pub(super) fn is_option(&self) -> bool {
        !self.nullable.is_empty() && self.kind != Type::Records
    }
}

#[derive(Clone, Debug)]
pub(super) struct Struct {
    pub(super) name: String,
    pub(super) versions: Versions,
    pub(super) fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    Metadata,
    RemoteLog,
    CoordinatorKey,
    CoordinatorValue,
    Header,
    Data,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// API key, record id or coordinator record type.
    pub(super) key: Option<i16>,
    pub(super) versions: Versions,
    pub(super) flexible: Versions,
    pub(super) unstable: bool,
    pub(super) on_broker: bool,
    pub(super) on_controller: bool,
    pub(super) forwardable: bool,
    pub(super) cluster_action: bool,
    /// The message itself first, then the structures that it uses.
    pub(super) structs: Vec<Struct>,
}

impl Message {
    pub(super) fn find(&self, name: &str) -> &Struct {
        self.structs.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{}: no structure {name}", self.name))
    }

    /// Whether a value of this type borrows from the frame.
    pub(super) fn borrows(&self, kind: &Type) -> bool {
        match kind {
            Type::String | Type::Bytes | Type::Records => true,
            Type::Struct(name) => self.find(name).fields.iter().any(|field| self.borrows(&field.kind)),
            Type::Array(element) => self.borrows(element),
            _ => false,
        }
    }

    /// Whether the structure borrows from the frame.
    pub(super) fn struct_borrows(&self, name: &str) -> bool {
        self.borrows(&Type::Struct(name.to_owned()))
    }
}
