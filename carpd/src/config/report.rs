//! What is wrong with a configuration file, one line each: `FILE:LINE: what is wrong; what to write instead`.

use std::fmt;
use std::ops::Range;

/// Everything that was found in one file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    file: String,
    /// Byte offsets of the line ends, to turn a span into a line number.
    line_ends: Vec<usize>,
    findings: Vec<Finding>,
}

/// One line of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line in the file, from 1.
    pub line: usize,
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// What is wrong; what to write instead. Never contains a password.
    pub text: String,
}

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Mistake,
    /// The file can be used, but probably does not do what its author wants.
    Warning,
}

impl Report {
    pub(super) fn new(file: String, text: &str) -> Self {
        Self {
            file,
            line_ends: text.match_indices('\n').map(|(at, _)| at).collect(),
            findings: Vec::new(),
        }
    }

    pub(super) fn mistake(&mut self, span: &Range<usize>, text: impl Into<String>) {
        self.add(span, Severity::Mistake, text.into());
    }

    pub(super) fn warning(&mut self, span: &Range<usize>, text: impl Into<String>) {
        self.add(span, Severity::Warning, text.into());
    }

    fn add(&mut self, span: &Range<usize>, severity: Severity, text: String) {
        let line = self.line_of(span);
        let at = self.findings.partition_point(|f| f.line <= line);
        self.findings.insert(at, Finding { line, severity, text });
    }

    /// The line (from 1) in which a span begins.
    pub(super) fn line_of(&self, span: &Range<usize>) -> usize {
        self.line_ends.partition_point(|&end| end < span.start) + 1
    }

    /// Whether the file can be used: it has no mistakes. It may have warnings.
    pub fn is_usable(&self) -> bool {
        self.findings.iter().all(|f| f.severity == Severity::Warning)
    }

    /// Each finding as its place, `FILE:LINE`, and the words for it.
    pub fn lines(&self) -> impl Iterator<Item = (String, String)> {
        self.findings.iter().map(|Finding { line, severity, text }| {
            let mark = match severity {
                Severity::Mistake => "",
                Severity::Warning => "warning: ",
            };
            (format!("{}:{line}", self.file), format!("{mark}{text}"))
        })
    }

    /// The findings, in the order of the file's lines.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// One line for each finding, each ending with a newline.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines()
            .try_for_each(|(place, words)| writeln!(f, "{place}: {words}"))
    }
}
