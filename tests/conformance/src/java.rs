//! Kafka's own Java clients and tools, in one JVM that lives as long as the run (see `java/Peer.java`).

use crate::fault::{During, Fault, ensure, fail};
use crate::peers;
use crate::process::{CLIENT_DEADLINE, tail};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// No tool prints more; a larger answer is a broken peer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// What a tool printed, and the status it would have exited with.
#[derive(Debug)]
pub struct Answer {
    /// 0 for success.
    pub code: i32,
    /// Printed to stdout.
    pub stdout: String,
    /// Printed or logged to stderr.
    pub stderr: String,
}

/// The running JVM.
pub struct Java {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<std::io::Result<Answer>>,
}

/// Flags that make a JVM start fast; no scenario runs long enough for the second compiler to pay.
pub const QUICK_FLAGS: &[&str] = &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];
/// What kafka-server-start.sh and kafka-run-class.sh of 4.4 give a broker.
pub const KAFKA_FLAGS: &[&str] = &[
    "-Xms1G",
    "-Xmx1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];

/// `java` with logging to stderr and `classes` before Kafka's jars.
pub fn java(jars: &Path, classes: Option<&Path>, flags: &[&str]) -> Command {
    let mut path = classes.map(|folder| format!("{}:", folder.display())).unwrap_or_default();
    path.push_str(&jars.join("*").display().to_string());
    let mut command = Command::new("java");
    command.args(flags).arg("-cp").arg(path);
    command.arg(format!("-Dlog4j2.configurationFile={}", peers::manifests().join("log4j2.yaml").display()));
    command
}

impl Java {
    /// Starts it; what it logs goes to `log`.
    pub fn start(log: &Path) -> Result<Java, Fault> {
        let jars = peers::kafka_jars()?;
        let classes = peers::java_peer(&jars)?;
        let log = File::options().create(true).append(true).open(log).during(log.display())?;
        // The main class comes last, so the flags of `java` stand before it.
        let mut command = java(&jars, Some(&classes), &[QUICK_FLAGS, &["-Xmx512m"]].concat());
        command.arg("Peer").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().during("starting java")?;
        let (Some(commands), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return fail("java was started without pipes");
        };
        let (send, answers) = sync_channel(1);
        std::thread::Builder::new()
            .name("java".to_owned())
            .spawn(move || {
                let mut from = BufReader::new(stdout);
                while let Some(answer) = read_answer(&mut from).transpose() {
                    if send.send(answer).is_err() {
                        return;
                    }
                }
            })
            .during("starting a thread")?;
        Ok(Java { child, commands, answers })
    }

    /// One command, its answer whatever its code.
    pub fn ask(&mut self, words: &[&str], deadline: Duration) -> Result<Answer, Fault> {
        let line = words.iter().map(|word| encode(word)).collect::<Vec<_>>().join("\t");
        let what = || format!("java `{}`", words.join(" "));
        writeln!(self.commands, "{line}").and_then(|()| self.commands.flush()).during(what())?;
        match self.answers.recv_timeout(deadline) {
            Ok(answer) => answer.during(what()),
            Err(_) => {
                // It cannot be asked again: an answer that comes late would be taken for the next one's.
                drop(self.child.kill());
                fail(format!("{}: no answer within {deadline:?}", what()))
            }
        }
    }

    /// Whether it can still be asked.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// A command of `Peer.java` that must succeed; its stdout.
    pub fn peer(&mut self, words: &[&str]) -> Result<String, Fault> {
        let answer = self.ask(words, CLIENT_DEADLINE)?;
        ensure(answer.code == 0, || format!("java `{}`: {}", words.join(" "), tail(&answer.stderr)))?;
        Ok(answer.stdout)
    }

    /// A tool by its class, with a file as stdin; whatever its code.
    pub fn tool_any(&mut self, class: &str, stdin: Option<&Path>, args: &[&str]) -> Result<Answer, Fault> {
        let stdin = stdin.map(|path| path.display().to_string()).unwrap_or_default();
        let class = if class.contains('.') { class.to_owned() } else { format!("org.apache.kafka.tools.{class}") };
        let words = [&["tool", stdin.as_str(), class.as_str()], args].concat();
        self.ask(&words, CLIENT_DEADLINE)
    }

    /// A tool that must succeed; its stdout.
    pub fn tool(&mut self, class: &str, args: &[&str]) -> Result<String, Fault> {
        let answer = self.tool_any(class, None, args)?;
        let said = || {
            format!(
                "{class} {}: exit {}; {}\n    {}",
                args.join(" "),
                answer.code,
                tail(&answer.stderr),
                tail(&answer.stdout)
            )
        };
        ensure(answer.code == 0, said)?;
        Ok(answer.stdout)
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // Already gone is fine: that is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read_answer(from: &mut impl BufRead) -> std::io::Result<Option<Answer>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.trim_end().split(' ').skip(1);
    let mut number =
        || words.next().and_then(|word| word.parse::<usize>().ok()).filter(|&number| number <= ANSWER_BYTES_MAX);
    let (Some(code), Some(out), Some(err)) = (number(), number(), number()) else {
        return Err(std::io::Error::other(format!("no answer: {line}")));
    };
    let mut text = |len: usize| {
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes).map(|()| String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Some(Answer { code: i32::try_from(code).unwrap_or(i32::MAX), stdout: text(out)?, stderr: text(err)? }))
}

/// URL encoding, so that a word may hold tabs and line breaks.
fn encode(word: &str) -> String {
    let mut out = String::new();
    for byte in word.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-/:=,*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The folder of jars, for a broker of its own.
pub fn jars() -> Result<PathBuf, Fault> {
    peers::kafka_jars()
}

#[cfg(test)]
mod tests {
    use super::{encode, read_answer};

    #[test]
    fn words_with_tabs_and_breaks_stay_one_word() {
        assert_eq!(encode("a\tb\n%é"), "a%09b%0A%25%C3%A9");
    }

    #[test]
    fn an_answer_is_cut_by_its_lengths() {
        let mut bytes: &[u8] = b"done 1 5 2\nout\n!er";
        let answer = read_answer(&mut bytes).expect("well-formed").expect("one is there");
        assert_eq!((answer.code, answer.stdout.as_str(), answer.stderr.as_str()), (1, "out\n!", "er"));
        assert!(read_answer(&mut bytes).expect("the end is no error").is_none());
        assert!(read_answer(&mut &b"done 1 99999999999 2\n"[..]).is_err(), "a length is checked before it is believed");
    }
}
