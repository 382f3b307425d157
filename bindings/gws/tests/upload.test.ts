import assert from 'node:assert/strict';
import { File } from 'node:buffer';
import { test } from 'node:test';

import { ChunkRequest, ChunkResponse, uploadFile, UploadOptions, UploadState } from '../upload';

const FAST: UploadOptions = { pause: 1 };

/** A server that keeps what it is sent. */
class Server {
    chunks = new Map<number, Uint8Array>();
    requests: ChunkRequest[] = [];
    underWay = 0;
    most = 0;
    uid = 'abc';

    constructor(private readonly before: (p: ChunkRequest) => ChunkResponse | void | Promise<ChunkResponse | void> = () => {}) {
    }

    step = async (p: ChunkRequest): Promise<ChunkResponse> => {
        this.requests.push(p);
        this.underWay++;
        this.most = Math.max(this.most, this.underWay);
        try {
            await new Promise(resolve => setTimeout(resolve, Math.random() * 3));
            const other = await this.before(p);
            if (other) {
                return other;
            }
            this.chunks.set(p.chunkNumber, p.content);
            return { uploadUid: this.uid };
        } finally {
            this.underWay--;
        }
    };

    content(): Buffer {
        const numbers = [...this.chunks.keys()].sort((a, b) => a - b);
        return Buffer.concat(numbers.map(number => this.chunks.get(number)!));
    }
}

function fileOf(size: number): { file: globalThis.File; bytes: Buffer } {
    const bytes = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7919) % 251));
    return { file: new File([bytes], 'a.tif', { lastModified: 5 }) as unknown as globalThis.File, bytes };
}

test('a file arrives whole, several chunks at once', async () => {
    const { file, bytes } = fileOf(1050);
    const server = new Server();
    const seen: number[] = [];
    const uid = await uploadFile(file, 100, server.step, { ...FAST, connections: 4, progress: sent => seen.push(sent) });
    assert.equal(uid, 'abc');
    assert.deepEqual(server.content(), bytes);
    assert.equal(server.requests.length, 11);
    assert.ok(server.requests.every(p => p.chunkCount === 11 && p.totalSize === 1050 && p.fileName === 'a.tif'));
    assert.deepEqual(server.requests.map(p => p.uploadUid), ['', ...Array(10).fill('abc')], 'the first answer tells the uid');
    assert.ok(server.most > 1 && server.most <= 4, `${server.most} at once`);
    assert.equal(seen.at(-1), 1050);
    assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
});

test('an empty file is one empty chunk', async () => {
    const server = new Server();
    assert.equal(await uploadFile(fileOf(0).file, 100, server.step, FAST), 'abc');
    assert.equal(server.requests.length, 1);
    assert.equal(server.requests[0].chunkCount, 1);
    assert.equal(server.requests[0].content.byteLength, 0);
});

test('what gets no answer, or a failure of the server, is sent again', async () => {
    const { file, bytes } = fileOf(500);
    let calls = 0;
    const server = new Server(() => {
        calls++;
        if (calls % 3 === 1) {
            throw new Error('the network');
        }
        return calls % 3 === 2 ? { error: { code: 500 } } : undefined;
    });
    assert.equal(await uploadFile(file, 100, server.step, { ...FAST, connections: 1 }), 'abc');
    assert.deepEqual(server.content(), bytes);
});

test('what is refused is not sent again', async () => {
    const server = new Server(p => (p.chunkNumber === 1 ? { error: { code: 400, info: 'upload_error' } } : undefined));
    assert.equal(await uploadFile(fileOf(300).file, 100, server.step, { ...FAST, connections: 1 }), null);
    assert.equal(server.requests.filter(p => p.chunkNumber === 1).length, 1);
    assert.equal(server.requests.length, 2, 'and nothing after it');
});

test('it gives up in the end', async () => {
    const server = new Server(() => ({ error: { code: 503 } }));
    assert.equal(await uploadFile(fileOf(300).file, 100, server.step, { ...FAST, retries: 2 }), null);
    assert.equal(server.requests.length, 3);
});

test('an upload goes on after a break', async () => {
    const { file, bytes } = fileOf(1000);
    const server = new Server();
    const stop = new AbortController();
    let saved: UploadState | null = null;
    const save = (state: UploadState): void => {
        saved = JSON.parse(JSON.stringify(state));
        if (state.sent.length === 4) {
            stop.abort();
        }
    };
    assert.equal(await uploadFile(file, 100, server.step, { ...FAST, connections: 1, save, signal: stop.signal }), null);
    assert.equal(server.requests.length, 4);
    assert.equal(await uploadFile(file, 100, server.step, { ...FAST, state: saved }), 'abc');
    assert.equal(server.requests.length, 10, 'only what was missing');
    assert.deepEqual(server.content(), bytes);
});

test('an upload that the server has forgotten begins anew', async () => {
    const { file, bytes } = fileOf(300);
    const server = new Server(p => (p.uploadUid === 'old' ? { error: { code: 400 } } : undefined));
    const state = { uploadUid: 'old', fileName: 'a.tif', totalSize: 300, chunkSize: 100, lastModified: 5, sent: [0, 1] };
    assert.equal(await uploadFile(file, 100, server.step, { ...FAST, state }), 'abc');
    assert.deepEqual(server.content(), bytes);
});

test('the state of another file is not used', async () => {
    const { file } = fileOf(300);
    const server = new Server();
    const state = { uploadUid: 'old', fileName: 'a.tif', totalSize: 300, chunkSize: 100, lastModified: 6, sent: [0, 1] };
    await uploadFile(file, 100, server.step, { ...FAST, state });
    assert.equal(server.requests.length, 3);
    assert.equal(server.requests[0].uploadUid, '');
});

test('a chunk size that cannot be is an error', async () => {
    await assert.rejects(uploadFile(fileOf(1).file, 0, new Server().step), RangeError);
});

test('a step of any type, as the uploadFile of GWS takes it', async () => {
    const step: Function = new Server().step;
    assert.equal(await uploadFile(fileOf(300).file, 100, step, FAST), 'abc');
    assert.equal(await uploadFile(fileOf(1).file, 100, async p => ({ uploadUid: p.fileName }), FAST), 'a.tif');
});
