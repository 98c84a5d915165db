import { ERRNO } from '../base/index.ts';
import { type JitImage, type Poke, tailCallChanges } from '../jit/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { MapBlueprint } from '../object/index.ts';
import { KernelError } from './error.ts';
import type { Kernel } from './kernel.ts';
import { writeHeader } from './map_header.ts';
import type { BpfMap, MapParts } from './maps.ts';
import { textPoke } from './poke.ts';

/** What all programs of a program array have in common (`struct bpf_map_owner`): the first one that uses it decides. */
export interface ProgramKind {
  type: string;
  attach: string;
  /** BTF id of the prototype that it implements or traces. */
  proto: number;
}

/** A program as an array holds it. */
export interface ArrayProgram {
  name: string;
  kind: ProgramKind;
  pointer: GuestPtr;
  bpfFunc: GuestPtr;
}

/** A direct tail call of a slot: text that is poked when the slot changes (`struct bpf_jit_poke_descriptor`). */
interface Site {
  image: JitImage;
  poke: Poke;
  key: number;
}

/** BPF_MAP_TYPE_PROG_ARRAY (kernel/bpf/arraymap.c, 6.12 and 6.18): programs that tail calls go to. */
export class ProgramArrayMap implements BpfMap {
  readonly blueprint: MapBlueprint;
  readonly id: number;
  readonly pointer: GuestPtr;
  readonly values: GuestPtr;
  readonly special = [];
  readonly #kernel: Kernel;
  readonly #programs = new Map<number, ArrayProgram>();
  readonly #sites = new Set<Site>();
  #owner: ProgramKind | undefined;

  constructor({ kernel, blueprint }: MapParts) {
    this.#kernel = kernel;
    this.blueprint = blueprint;
    this.id = kernel.nextId();
    const header = kernel.target.offsets.bpfArrayPtrs;
    this.pointer = kernel.vmalloc.alloc(header + 8 * blueprint.maxEntries, 64);
    this.values = this.pointer + header;
    writeHeader(kernel, this.pointer, blueprint);
  }

  get name(): string {
    return this.blueprint.name;
  }

  /** A program uses the map, or goes into it: bpf_prog_map_compatible. @throws KernelError EINVAL if others are of another kind */
  admit(program: string, kind: ProgramKind): void {
    this.#owner ??= kind;
    const { type, attach, proto } = this.#owner;
    if (kind.type !== type || kind.attach !== attach || kind.proto !== proto)
      throw new KernelError(
        `programs of map '${this.name}' are of another type or prototype`,
        'EINVAL',
        `program '${program}'`,
      );
  }

  /** A direct tail call of slot `key` was compiled; what undoes it. */
  addSite(image: JitImage, poke: Poke, key: number): () => void {
    const site = { image, poke, key };
    this.#sites.add(site);
    this.#change(site, 0, this.#programs.get(key)?.bpfFunc ?? 0);
    return () => void this.#sites.delete(site);
  }

  /** Fills a slot, or empties it. @throws KernelError E2BIG, EINVAL */
  setProgram(key: number, program: ArrayProgram | undefined): void {
    if (key >= this.blueprint.maxEntries)
      throw new KernelError(`map '${this.name}' has no slot ${key}`, 'E2BIG', `map '${this.name}'`);
    if (program !== undefined) this.admit(program.name, program.kind);
    const before = this.#programs.get(key)?.bpfFunc ?? 0;
    if (program === undefined) this.#programs.delete(key);
    else this.#programs.set(key, program);
    this.#kernel.memory.setPtr(this.values + 8 * key, program?.pointer ?? 0);
    for (const site of this.#sites) if (site.key === key) this.#change(site, before, program?.bpfFunc ?? 0);
  }

  #change({ image, poke }: Site, before: GuestPtr, after: GuestPtr): void {
    for (const { ip, from, to } of tailCallChanges(image, poke, this.#kernel.jit, before, after))
      textPoke(this.#kernel, ip, from, to);
  }

  /** Programs may not look into it; its elements change by `setProgram` alone. */
  lookup(): GuestPtr {
    return 0;
  }

  update(): number {
    return -ERRNO.EOPNOTSUPP;
  }

  delete(): number {
    return -ERRNO.EOPNOTSUPP;
  }

  *keys(): Iterable<Uint8Array> {
    for (let i = 0; i < this.blueprint.maxEntries; i++) yield new Uint8Array(Uint32Array.of(i).buffer);
  }

  free(): void {
    this.#kernel.vmalloc.free(this.pointer);
  }
}
