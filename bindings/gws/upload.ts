/**
 * Sends a file in chunks, for the front end of GWS: a replacement for its `uploadFile`, with the same call and answer.
 *
 * Only the chunks that are under way are in memory. Chunks that fail are sent again. An empty file is one empty chunk.
 * No dependency.
 */

/** What a chunk carries; the server's `ChunkRequest`. */
export interface ChunkRequest {
    uploadUid: string;
    fileName: string;
    totalSize: number;
    chunkNumber: number;
    chunkCount: number;
    content: Uint8Array;
}

/** What the server answers; `error` if it refused. */
export interface ChunkResponse {
    uploadUid?: string;
    error?: { code?: number; status?: number; info?: string } | null;
}

/** Sends one chunk. May reject when there is no answer. */
export type Step = (request: ChunkRequest) => Promise<ChunkResponse>;

/** How far an upload has come. Plain data: keep it, and pass it again to go on after a break. */
export interface UploadState {
    uploadUid: string;
    fileName: string;
    totalSize: number;
    chunkSize: number;
    lastModified: number;
    /** The numbers of the chunks that were accepted. */
    sent: number[];
}

export interface UploadOptions {
    /** How many chunks are under way at once. Default 3. */
    connections?: number;
    /** How often a chunk is sent again when there is no answer, or the server failed. Default 5. */
    retries?: number;
    /** The first pause before that, in milliseconds; each further one is twice as long. Default 500. */
    pause?: number;
    /** Ends the upload; `uploadFile` then answers null. */
    signal?: AbortSignal;
    /** Called when bytes were accepted. */
    progress?: (sentSize: number, totalSize: number) => void;
    /** Called when a chunk was accepted, with what to keep. */
    save?: (state: UploadState) => void;
    /** What an earlier call saved. Not used if the file or the chunk size is another. */
    state?: UploadState | null;
}

class Refused extends Error {
}

/**
 * Sends `file` in chunks of `chunkSize` bytes; `step` sends one. Answers the uid of the upload, or null if it was refused, failed
 * for good, or was ended. `step` is a `Step`. Callers of GWS's own `uploadFile` may have declared it as a `Function`.
 */
export async function uploadFile(
    file: File,
    chunkSize: number,
    step: Step | Function,
    options: UploadOptions = {},
): Promise<string | null> {
    if (!(chunkSize >= 1)) {
        throw new RangeError(`chunkSize is ${chunkSize}`);
    }
    const begun = options.state && fits(options.state, file, chunkSize) ? options.state : null;
    try {
        if (begun) {
            try {
                return await new Upload(file, chunkSize, step as Step, options, begun).run();
            } catch (error) {
                if (!(error instanceof Refused)) {
                    throw error;
                }
                // The server has forgotten it: begin anew.
            }
        }
        return await new Upload(file, chunkSize, step as Step, options, null).run();
    } catch (error) {
        console.warn(`uploadFile: ${error}`);
        return null;
    }
}

function fits(state: UploadState, file: File, chunkSize: number): boolean {
    return state.uploadUid !== '' && state.fileName === file.name && state.totalSize === file.size
        && state.chunkSize === chunkSize && state.lastModified === file.lastModified;
}

class Upload {
    private readonly chunkCount: number;
    private readonly sent: Set<number>;
    private uploadUid: string;
    private sentSize = 0;
    private ended = false;

    constructor(
        private readonly file: File,
        private readonly chunkSize: number,
        private readonly step: Step,
        private readonly options: UploadOptions,
        begun: UploadState | null,
    ) {
        this.chunkCount = Math.max(1, Math.ceil(file.size / chunkSize));
        this.sent = new Set(begun ? begun.sent : []);
        this.uploadUid = begun ? begun.uploadUid : '';
        this.sent.forEach(number => this.sentSize += this.sizeOf(number));
    }

    async run(): Promise<string> {
        const missing: number[] = [];
        for (let number = 0; number < this.chunkCount; number++) {
            if (!this.sent.has(number)) {
                missing.push(number);
            }
        }
        // The first answer tells the uid that the others need. Of a finished one a chunk is sent again, to see whether the
        // server still has it.
        await this.send(missing.length > 0 ? missing.shift()! : 0);
        const next = async (): Promise<void> => {
            for (let number = missing.shift(); number !== undefined && !this.ended; number = missing.shift()) {
                await this.send(number);
            }
        };
        const connections = Math.max(1, this.options.connections ?? 3);
        try {
            await Promise.all(Array.from({ length: connections }, next));
        } catch (error) {
            // The others stop with the chunk they are at.
            this.ended = true;
            throw error;
        }
        return this.uploadUid;
    }

    private sizeOf(number: number): number {
        return Math.min(this.chunkSize, this.file.size - number * this.chunkSize);
    }

    private async send(number: number): Promise<void> {
        const retries = this.options.retries ?? 5;
        for (let attempt = 0; ; attempt++) {
            this.options.signal?.throwIfAborted();
            try {
                await this.sendOnce(number);
                return;
            } catch (error) {
                if (error instanceof Refused || this.ended || attempt >= retries) {
                    throw error;
                }
            }
            const pause = (this.options.pause ?? 500) * 2 ** attempt;
            await new Promise(resolve => setTimeout(resolve, pause));
        }
    }

    private async sendOnce(chunkNumber: number): Promise<void> {
        const start = chunkNumber * this.chunkSize;
        const content = new Uint8Array(await this.file.slice(start, start + this.sizeOf(chunkNumber)).arrayBuffer());
        const response = await this.step({
            uploadUid: this.uploadUid,
            fileName: this.file.name,
            totalSize: this.file.size,
            chunkNumber,
            chunkCount: this.chunkCount,
            content,
        });
        if (response.error) {
            const code = response.error.code ?? response.error.status ?? 500;
            const text = `chunk ${chunkNumber}: ${code} ${response.error.info ?? ''}`;
            // What was wrong with a request is wrong when it is sent again.
            throw code >= 400 && code < 500 ? new Refused(text) : new Error(text);
        }
        if (!response.uploadUid) {
            throw new Error(`chunk ${chunkNumber}: no uploadUid in the answer`);
        }
        this.uploadUid = response.uploadUid;
        this.accepted(chunkNumber);
    }

    private accepted(number: number): void {
        if (!this.sent.has(number)) {
            this.sent.add(number);
            this.sentSize += this.sizeOf(number);
        }
        this.options.progress?.(this.sentSize, this.file.size);
        this.options.save?.({
            uploadUid: this.uploadUid,
            fileName: this.file.name,
            totalSize: this.file.size,
            chunkSize: this.chunkSize,
            lastModified: this.file.lastModified,
            sent: [...this.sent],
        });
    }
}
