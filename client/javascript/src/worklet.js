/**
 * Runs beside the audio: mixes the microphone down to one channel, makes 16-bit samples and hands them over in packets,
 * at the rate of the device. No sample is left out: `flush` hands over the unfinished packet.
 */
class Packets extends AudioWorkletProcessor {
  /** @param {{processorOptions: {packetSamples: number}}} options */
  constructor({ processorOptions: { packetSamples } }) {
    super();
    this.packet = new Int16Array(packetSamples);
    this.filled = 0;
    this.squares = 0;
    this.port.onmessage = () => this.flush();
  }

  /** @param {Float32Array[][]} inputs by input and channel, 128 samples each; no channels while no source is there */
  process([channels]) {
    const share = 1 / Math.max(1, channels.length);
    const samples = channels[0]?.length ?? 128;
    for (let index = 0; index < samples; index++) {
      let sum = 0;
      for (const channel of channels) sum += channel[index];
      this.take(sum * share);
    }
    return true;
  }

  /** @param {number} value from -1 to 1 */
  take(value) {
    this.squares += value * value;
    this.packet[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
    if (this.filled === this.packet.length) this.hand(this.packet);
  }

  /** @param {Int16Array<ArrayBuffer>} samples */
  hand(samples) {
    const level = Math.sqrt(this.squares / Math.max(1, samples.length));
    const size = this.packet.length;
    this.port.postMessage({ samples, level, last: false }, [samples.buffer]);
    this.packet = new Int16Array(size);
    this.filled = 0;
    this.squares = 0;
  }

  flush() {
    this.hand(this.packet.slice(0, this.filled));
    this.port.postMessage({ samples: new Int16Array(0), level: 0, last: true });
  }
}

registerProcessor("packets", Packets);
