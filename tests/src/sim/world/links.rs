//! The links: what a message suffers on its way, and what its sender learns of it.

use std::time::Duration;

use bellwether_model::id::StoreId;
use bellwether_model::wire::answer::{Answer, Case};
use bellwether_model::wire::envelope::Envelope;
use bellwether_model::wire::frame::Frame;
use bytes::Bytes;

use super::super::Millis;
use super::super::collector::Reply;
use super::super::fault::Hurt;
use super::{Event, World};

/// An agent gives up on an answer.
const ANSWER_TIME: Millis = 35_000;

impl World<'_> {
    pub(super) fn hurt(&mut self) -> Hurt {
        let one_in = self.scenario.link_hurts_one_in;
        if self.faulty() && one_in > 0 && self.random.once_in(one_in) {
            Hurt::of(self.random.below(Hurt::COUNT))
        } else {
            Hurt::None
        }
    }

    pub(super) fn parted(&self, node: usize, collector: usize) -> bool {
        self.partitions.get(&(node, collector)).is_some_and(|until| self.now < *until)
    }

    pub(super) fn post(&mut self, node: usize, collector: usize, body: Bytes) {
        self.requests += 1;
        let request = self.requests;
        if let Some(process) = self.agents[node].process.as_mut() {
            process.out[collector] = Some(request);
            process.sent[collector] = process.clock.now().mono;
        }
        self.trace.add(
            self.now,
            format_args!("host {node} posts {} bytes as {request}: {}", body.len(), told(&body)),
        );
        self.after(ANSWER_TIME, Event::Timeout { node, collector, request });
        let hurt = if self.parted(node, collector) { Hurt::Lost } else { self.hurt() };
        let delay = 1 + self.random.below(30);
        let arrive = |world: &mut Self, delay, body| {
            world.after(delay, Event::Arrive { node, collector, request, body });
        };
        match hurt {
            Hurt::None => arrive(self, delay, body),
            Hurt::Lost => {
                // Some networks say at once that nobody is there.
                if self.random.once_in(2) {
                    self.after(delay, Event::Timeout { node, collector, request });
                }
            }
            Hurt::Broken { arrives } => {
                if arrives {
                    arrive(self, delay, body);
                }
                self.after(delay, Event::Timeout { node, collector, request });
            }
            Hurt::Twice => {
                let later = delay + self.random.below(20_000);
                arrive(self, later, body.clone());
                arrive(self, delay, body);
            }
            Hurt::Late => {
                let late = 1000 + self.random.below(40_000);
                arrive(self, late, body);
                let gives_up = self.random.below(2000);
                self.after(gives_up, Event::Timeout { node, collector, request });
            }
            Hurt::Flipped => {
                let mut bytes = body.to_vec();
                let at = self.random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << self.random.below(8);
                arrive(self, delay, bytes.into());
            }
            Hurt::Portal | Hurt::Full | Hurt::Unauthorized => {
                let bytes = listener_answer(hurt);
                let released = self.now;
                let answer = Event::Answer { collector, request, node, bytes, released };
                self.after(delay, answer);
            }
        }
        self.count(name_of(hurt));
    }

    pub(super) fn fail_request(
        &mut self,
        node: usize,
        collector: usize,
        request: u64,
    ) -> Result<(), String> {
        let Some(process) = self.agents[node].process.as_mut() else { return Ok(()) };
        if process.out[collector] != Some(request) {
            return Ok(());
        }
        process.out[collector] = None;
        self.trace.add(self.now, format_args!("host {node}: {request} fails"));
        self.drive(node, |drive, actions| drive.failed(collector, actions), None)
    }

    pub(super) fn arrive(
        &mut self,
        node: usize,
        collector: usize,
        request: u64,
        body: &[u8],
    ) -> Result<(), String> {
        if self.collectors[collector].process.is_none() {
            return self.fail_request(node, collector, request);
        }
        if let Ok((envelope, _)) = Envelope::read(body) {
            self.account.declared(collector, node, &envelope.skips);
        }
        let now = self.now;
        let admitted = self.collectors[collector].admit(now, body, node, request);
        self.then(collector, admitted, |world, reply| {
            reply.into_iter().for_each(|reply| world.reply(collector, &reply));
            world.commit(collector);
        })
    }

    pub(super) fn reply(&mut self, collector: usize, reply: &Reply) {
        let (node, request, released) = (reply.to, reply.request, self.now);
        let mut bytes = Vec::new();
        reply.answer.put(&mut bytes);
        let answer = &reply.answer;
        self.trace.add(
            released,
            format_args!(
                "collector {collector} answers {request}: {} acked {} at {}",
                answer.case.as_str(),
                answer.acked,
                answer.at
            ),
        );
        self.count(answer.case.as_str());
        let hurt = if self.parted(node, collector) { Hurt::Lost } else { self.hurt() };
        match hurt {
            Hurt::Lost | Hurt::Late => return,
            Hurt::Broken { .. } => bytes.truncate(bytes.len() / 2),
            Hurt::Portal => bytes = b"<html>Sign in".to_vec(),
            _ => {}
        }
        let delay = 1 + self.random.below(30);
        self.after(delay, Event::Answer { collector, request, node, bytes, released });
    }

    pub(super) fn answer(
        &mut self,
        node: usize,
        collector: usize,
        request: u64,
        bytes: &[u8],
        released: Millis,
    ) -> Result<(), String> {
        let Ok(answer) = Answer::read(bytes) else {
            return self.fail_request(node, collector, request);
        };
        let Some(process) = self.agents[node].process.as_mut() else { return Ok(()) };
        if process.out[collector] != Some(request) {
            return Ok(());
        }
        process.out[collector] = None;
        let waits = matches!(answer.case, Case::Overloaded | Case::TooMany);
        let retry_after = waits.then(|| Duration::from_secs(1));
        self.agents[node].observe(self.now, collector, &answer);
        self.drive(
            node,
            |drive, actions| drive.answered(collector, &answer, retry_after, actions),
            Some(released),
        )
    }
}

/// What a body declares and holds.
fn told(body: &[u8]) -> String {
    let Ok((envelope, mut rest)) = Envelope::read(body) else { return "broken".to_owned() };
    let mut seqs = Vec::new();
    while let Ok((frame, after)) = Frame::read(rest) {
        seqs.push(frame.header().seq);
        rest = after;
    }
    let (first, last) = (seqs.first(), seqs.last());
    let goodbye = if envelope.goodbye { " goodbye" } else { "" };
    format!("{:?} to {:?}, {} skips{goodbye}", first, last, envelope.skips.len())
}

fn listener_answer(hurt: Hurt) -> Vec<u8> {
    let case = match hurt {
        Hurt::Full => Case::Overloaded,
        Hurt::Unauthorized => Case::Unauthorized,
        _ => return b"<html>Sign in".to_vec(),
    };
    let mut bytes = Vec::new();
    Answer::new(case, StoreId::default()).put(&mut bytes);
    bytes
}

fn name_of(hurt: Hurt) -> &'static str {
    match hurt {
        Hurt::None => "sent",
        Hurt::Lost => "link: lost",
        Hurt::Broken { .. } => "link: broken",
        Hurt::Twice => "link: twice",
        Hurt::Late => "link: late",
        Hurt::Flipped => "link: flipped",
        Hurt::Portal => "link: portal",
        Hurt::Full => "link: full",
        Hurt::Unauthorized => "link: unauthorized",
    }
}
