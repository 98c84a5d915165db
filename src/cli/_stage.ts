import { type Kernel, type LoadedProgram, StructOpsLink, StructOpsMap } from '../kernel/index.ts';
import type { ResolvedObject } from '../object/index.ts';
import type { CongestionEvent, FlowSpec, HostAction } from '../subsystems/index.ts';
import type { EventPlan, FlowPlan, Objects, RunPlan } from './_plan.ts';
import { CliError } from './error.ts';
import { type KernelChoice, loadMore, pickTable, type Session, startSession } from './session.ts';

const TCP = 'tcp_congestion_ops';
type OpsTable = ResolvedObject['structOps'][number];

/** A table that is registered, or will be by an update. */
interface Staged {
  map: StructOpsMap;
  /** Name of its congestion control. */
  congestion: string;
  link: StructOpsLink | undefined;
}

/**
 * A kernel with everything that a plan needs: its objects loaded, its tables registered; flows and events as the subsystem
 * takes them.
 */
export class Stage {
  readonly kernel: Kernel;
  readonly maps: StructOpsMap[] = [];
  readonly flows: FlowSpec[];
  readonly events: CongestionEvent[] = [];
  readonly actions: HostAction[] = [];
  readonly #objects: Objects;
  readonly #first: Session;
  readonly #sessions = new Map<string, Session>();
  readonly #loaded: Session[] = [];
  readonly #staged: { path: string; table: Staged }[] = [];

  /** `mark` is told of each event when it has happened. @throws TrampetError */
  constructor(
    plan: RunPlan,
    objects: Objects,
    choice: KernelChoice,
    cfi: KernelChoice['cfi'],
    mark: (atNs: number, what: string) => void,
  ) {
    this.#objects = objects;
    const paths = [...new Set([...plan.flows.map(({ object }) => object), ...plan.load])];
    this.#first = startSession(objects.get(paths[0]!)!, choice, cfi);
    this.kernel = this.#first.kernel;
    for (const [i, path] of paths.entries()) {
      const session = i === 0 ? this.#first : loadMore(this.#first, objects.get(path)!);
      this.#sessions.set(path, session);
      this.#loaded.push(session);
      const named = plan.flows.filter(({ object }) => object === path).map(({ table }) => table);
      this.#register(path, session, named);
    }
    this.flows = this.#flowSpecs(plan.flows);
    for (const event of plan.events) this.#plan(event, mark);
  }

  /** Every program that was loaded. */
  get programs(): LoadedProgram[] {
    return this.#loaded.flatMap(({ loaded }) => loaded.programs);
  }

  /** Registers the tables that flows name; those that are to be created, where a flow names none. */
  #register(path: string, session: Session, named: readonly (string | undefined)[]): void {
    const chosen = named.length > 0 && !named.includes(undefined);
    const tables = session.resolved.structOps.filter(({ autocreate, name }) =>
      chosen ? named.includes(name) : autocreate || named.includes(name),
    );
    if (!session.resolved.structOps.some(({ type }) => type === TCP))
      throw new CliError(
        'the object has no tcp_congestion_ops table to run',
        'refused',
        "bpf_dummy_ops are run by 'trampet test'",
      );
    for (const table of tables) {
      const map = this.#fill(session, table);
      const link = table.link ? new StructOpsLink(this.kernel, map) : undefined;
      this.#staged.push({ path, table: { map, congestion: nameOf(this.kernel, map), link } });
    }
  }

  #fill({ programs }: Session, table: OpsTable): StructOpsMap {
    const map = new StructOpsMap(this.kernel, table);
    map.update(table, programs);
    this.maps.push(map);
    return map;
  }

  /** Flows with names of their own: where several would have the same one they are numbered. */
  #flowSpecs(plans: readonly FlowPlan[]): FlowSpec[] {
    const specs = plans.flatMap(({ object, table, name, count, source, startNs, stopNs, crosses, hosts }) => {
      const own = this.#staged.filter(({ path, table: { map } }) => path === object && map.type === TCP);
      const wanted = own.map(({ table: { map, congestion } }) => ({ name: map.name, congestion }));
      const { congestion } = pickTable(wanted, table);
      const spec: FlowSpec = {
        name: name ?? congestion,
        congestion,
        source,
        startNs,
        ...(stopNs === undefined ? {} : { stopNs }),
        ...(crosses === undefined ? {} : { crosses }),
        ...(hosts === undefined ? {} : { hosts }),
      };
      return Array.from({ length: count }, () => ({ ...spec }));
    });
    const counts = new Map<string, number>();
    for (const { name } of specs) counts.set(name, (counts.get(name) ?? 0) + 1);
    const used = new Map<string, number>();
    for (const spec of specs) {
      const number = (used.get(spec.name) ?? 0) + 1;
      used.set(spec.name, number);
      if (counts.get(spec.name)! > 1) spec.name = `${spec.name} ${number}`;
    }
    return specs;
  }

  #plan(event: EventPlan, mark: (atNs: number, what: string) => void): void {
    const { atNs } = event;
    if (event.kind === 'setsockopt') {
      const { flow, congestion } = event;
      this.events.push({ atNs, flow, congestion });
      this.actions.push({ atNs, run: () => mark(atNs, `${flow}: setsockopt ${congestion}`) });
      return;
    }
    const { what, work } = event.kind === 'update' ? this.#update(event) : this.#unregister(event);
    this.actions.push({
      atNs,
      run: () => {
        work();
        mark(atNs, what);
      },
    });
  }

  /** The new table is filled now, and handed to the link at its time. */
  #update({ object, table }: Extract<EventPlan, { kind: 'update' }>): { what: string; work: () => void } {
    const known = this.#sessions.get(object);
    const tables = this.#objects.get(object)!.structOps.filter(({ type }) => type === TCP);
    const wanted = pickTable(tables, table);
    if (!wanted.link)
      throw new CliError(
        `table '${wanted.name}' has no link (SEC(".struct_ops.link")): it replaces nothing`,
        'refused',
      );
    const there = this.#staged.some(({ path, table: { map } }) => path === object && map.name === wanted.name);
    const session = known !== undefined && !there ? known : loadMore(this.#first, this.#objects.get(object)!);
    if (session !== known) this.#loaded.push(session);
    const map = this.#fill(session, wanted);
    const congestion = nameOf(this.kernel, map);
    const old = this.#staged.find(({ table }) => table.link !== undefined && table.congestion === congestion)?.table;
    if (old === undefined)
      throw new CliError(`table '${wanted.name}' replaces none: no link holds a table of '${congestion}'`, 'refused');
    return { what: `update ${wanted.name}`, work: () => old.link!.update(map) };
  }

  #unregister({ congestion }: Extract<EventPlan, { kind: 'unregister' }>): { what: string; work: () => void } {
    const found = this.#staged.find(({ table }) => table.congestion === congestion)?.table;
    if (found === undefined)
      throw new CliError(`no table of congestion control '${congestion}' is registered`, 'refused');
    const { link, map } = found;
    return { what: `unregister ${congestion}`, work: () => (link === undefined ? map.delete() : link.detach()) };
  }
}

function nameOf(kernel: Kernel, map: StructOpsMap): string {
  const bytes = kernel.memory.bytes(map.kdata + kernel.field(map.type, 'name').offset, 16);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
