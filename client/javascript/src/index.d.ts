/** Where a stream stands; `waiting` comes with the reason, and is followed by `connecting`. */
export type ConnectionState = "connecting" | "connected" | "waiting";

/** Times are seconds on the audio clock of the stream: 0 is the first sample that was given. */
export interface Word {
  text: string;
  start: number;
  end: number;
  confidence: number;
  /** It follows the word before it without a space: in scripts that have none a word is a character. */
  joined?: boolean;
}

export type EndReason = "silence" | "no_words" | "maximum_length" | "finalize" | "finish";

/** The server has taken the stream; comes again after each resume. */
export interface Started {
  type: "started";
  session: string;
  model: string;
  sample_rate: number;
  first_sample: number;
  resumed: "no" | "session" | "position";
  options: Record<string, any>;
  unspellable: string[];
  limits: { idle_seconds: number; resume_seconds: number; stream_seconds: number; message_bytes: number };
}

export interface SpeechStarted {
  type: "speech_started";
  utterance: number;
  time: number;
  lag: number;
}

/** The same text as one reads it: with capitals, punctuation and figures. In a final, `tail` is empty. */
export interface Formatted {
  committed: string;
  tail: string;
  /** The tail follows without a space. */
  joined?: boolean;
  words?: Word[];
}

/** `committed` never changes again, `tail` may. */
export interface Partial {
  type: "partial";
  utterance: number;
  committed: string;
  tail: string;
  start: number;
  end: number;
  lag: number;
  /** The tail follows without a space, as in scripts that have none. */
  joined?: boolean;
  /** Where the stream leaves the language open ("auto"): which was found. */
  language?: { code: string; confidence: number };
  words?: Word[];
  /** Where the server has a text model for the language. */
  formatted?: Formatted;
}

export interface Final {
  type: "final";
  utterance: number;
  text: string;
  start: number;
  end: number;
  confidence: number;
  reason: EndReason;
  lag: number;
  acknowledged: number;
  /** Where the stream leaves the language open ("auto"): which was found. */
  language?: { code: string; confidence: number };
  words?: Word[];
  alternatives?: { text: string; score: number; words?: Word[] }[];
  formatted?: Formatted;
}

/** The turn is probably over; its `final` comes unless the speaker goes on. */
export interface TurnEnding {
  type: "turn_ending";
  utterance: number;
  [field: string]: any;
}

/** The speaker goes on after all. */
export interface TurnResumed {
  type: "turn_resumed";
  utterance: number;
  time: number;
  lag: number;
}

export interface SpeechEnded {
  type: "speech_ended";
  utterance: number;
  time: number;
  reason: EndReason;
  lag: number;
}

/** The stream goes on all the same. */
export interface Warning {
  type: "warning";
  code: string;
  message: string;
}

/** So much audio could not be kept, at this time of the stream; later times do not count it. */
export interface Missed {
  type: "missed";
  at: number;
  seconds: number;
}

/** All audio was heard; the last event. */
export interface Finished {
  type: "finished";
  samples: number;
  duration: number;
}

/** What a stream says. Newer servers may say more: pass over types that you do not know. */
export type StreamEvent =
  | Started
  | SpeechStarted
  | Partial
  | TurnEnding
  | TurnResumed
  | Final
  | SpeechEnded
  | Warning
  | Missed
  | Finished;

/** 16-bit samples, samples from -1 to 1, or little-endian bytes of 16-bit samples, cut anywhere; one channel. */
export type Samples = Int16Array | Float32Array | Uint8Array;

export interface StreamOptions {
  /** Its audio is sent, then the stream is finished; a microphone is let go of when the stream ends. */
  source?: LiveAudio | (AsyncIterable<Samples> & { sampleRate?: number });
  /** Samples per second, 8000 to 192000; the source's, if that says it. */
  sampleRate?: number;
  /** One of the server's models by its name; without it, the first one that has the language. */
  model?: string;
  language?: string;
  /** Words to listen for, with their weights; 10 is usual. */
  hotwords?: Record<string, number>;
  /** When an utterance is over; null switches one of the first two off. */
  endpoint?: { trailing_silence_ms?: number | null; no_words_ms?: number | null; maximum_length_ms?: number };
  partials?: boolean;
  partialIntervalMs?: number;
  wordTimes?: boolean;
  alternatives?: number;
  stability?: "low" | "medium" | "high";
  /** Whether events carry `formatted`; they do if it is not given. */
  formatted?: boolean;
  /** An API key; it buys a token for each connection from the server. */
  key?: string;
  /** Gets a token for one connection instead, for example from a backend of yours that has the key. */
  token?: () => Promise<string | null>;
  /** Audio that is kept until the server acknowledges it; 300 if it is not given. */
  heldSeconds?: number;
  /** How long the first connection may take; 8 if it is not given, `Infinity` tries for ever. */
  patienceSeconds?: number;
  /** How long a later one may take; for ever if it is not given. */
  giveUpSeconds?: number;
  /** Closes the stream. */
  signal?: AbortSignal;
  onstate?: (state: ConnectionState, reason?: StreamError) => void;
  /** An implementation of websockets, where the platform's own one will not do. */
  WebSocket?: typeof WebSocket;
}

/** Opens a stream: resolves when the server has taken it, rejects with a `StreamError`. */
export function connect(url: string | URL, options?: StreamOptions): Promise<SpeechStream>;

/**
 * One stream of audio and its words. One loop reads its events; it ends after `finished`, or throws the `StreamError`
 * that ended the stream. Leaving the loop closes the stream.
 */
export class SpeechStream implements AsyncIterable<StreamEvent> {
  constructor(url: string | URL, options?: StreamOptions);
  readonly opened: Promise<Started>;
  readonly sampleRate: number;
  /** Seconds of audio that were taken. */
  readonly position: number;
  /** Seconds that `offer` could not take. */
  readonly missedSeconds: number;
  /** Whether so much audio waits for the server that `offer` takes no more. */
  readonly isFull: boolean;
  /** Seconds of audio that are still to be sent. */
  readonly unsentSeconds: number;
  /** Gives audio; waits while too much waits for the server. */
  send(samples: Samples): Promise<void>;
  /** Gives audio that cannot wait; whether there was room for it. A `missed` event tells of what there was none for. */
  offer(samples: Samples): boolean;
  /** From here on; what is left out stays. */
  update(change: Pick<StreamOptions, "hotwords" | "endpoint">): void;
  /** Ends the utterance here. */
  finalize(): void;
  /** No more audio: the last words come, then `finished`. */
  finish(): Promise<void>;
  /** Stops at once. */
  close(): void;
  [Symbol.asyncIterator](): AsyncIterator<StreamEvent, undefined>;
}

/** `code` names the reason: the README lists them. */
export class StreamError extends Error {
  constructor(code: string, detail?: string);
  readonly code: string;
  readonly detail: string;
}

export const HELD_SECONDS: number;

export interface MicrophoneOptions {
  /** An id as `microphones` gives it; the browser's choice if it is empty. */
  device?: string;
  /** Whether the browser removes echo and noise. */
  cleaning?: boolean;
}

export interface Packet {
  samples: Int16Array;
  /** Root mean square, from 0 to 1. */
  level: number;
}

/** Sound as it happens. Given to a stream as its `source`, it is begun and closed by the stream. */
export class LiveAudio {
  private constructor();
  readonly isMicrophone: boolean;
  readonly sampleRate: number;
  readonly name: string;
  onpacket: (packet: Packet) => void;
  /** `no_output`: Firefox runs no audio, not even to listen, where it finds no output device. */
  onchange: (change: "ended" | "paused" | "no_output" | "running") => void;
  begin(): Promise<void>;
  wake(): Promise<void>;
  change(options: MicrophoneOptions): Promise<void>;
  close(): Promise<void>;
}

/** Browsers only. */
export function openMicrophone(options?: MicrophoneOptions): Promise<LiveAudio>;
/** What a tab or the whole system plays; the person chooses which. Browsers only. */
export function openTabAudio(): Promise<LiveAudio>;
/** Whether this browser can be asked for the sound of a tab. */
export function hasTabAudio(): boolean;
/** Names are empty until the microphone was allowed once. Browsers only. */
export function microphones(): Promise<{ id: string; name: string }[]>;
/** Loads what `openMicrophone` needs while there is a network; whether that was possible. Browsers only. */
export function prepareListening(): Promise<boolean>;

export interface ShareOptions {
  /** As `newSecret` makes it; the view's address is the same as long as the secret is. */
  secret: string;
  /** The session to show, as `started` names it. */
  session?: string;
  /** Any name that stays the same over the sessions of one stream, so that nothing is shown twice after a resume. */
  stream?: string;
  key?: string;
}

export interface WatchOptions {
  signal?: AbortSignal;
  onstate?: (state: ConnectionState, reason?: StreamError) => void;
  WebSocket?: typeof WebSocket;
}

/** The first message of a view, and again whenever a stream begins or ends in it. */
export interface ViewState {
  type: "view";
  /** Changes when the view has forgotten what it had, as after a restart of the server. */
  epoch: string;
  live: boolean;
  /** What is spoken, if the server knows. */
  model?: string | null;
  language: string | null;
}

/** `line` numbers what was said in the view, `at` is the time of day in seconds since 1970. */
export type ViewFinal = Pick<Final, "text" | "start" | "end" | "formatted"> & { type: "final"; line: number; at: number };
export type ViewPartial = Pick<Partial, "committed" | "tail" | "joined" | "start" | "end" | "formatted"> & { type: "partial" };
export type ViewEvent = ViewState | ViewPartial | ViewFinal | { type: "speech_ended" };

/** The server's models with the codes of their languages; the first is that of streams that name none. */
export function info(
  url: string | URL,
): Promise<{ model: string; languages: string[]; models?: { name: string; languages: string[] }[] }>;

export function newSecret(): string;
export function share(url: string | URL, options: ShareOptions): Promise<{ view: string; watching: number }>;
export function unshare(url: string | URL, options: ShareOptions): Promise<void>;
export function watch(url: string | URL, view: string, options?: WatchOptions): AsyncGenerator<ViewEvent, void, undefined>;
