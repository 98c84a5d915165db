/** What 6.18 answers where the selftests of 6.12 expect something else. */
export interface Changed {
  /** `accepted`, or words of the refusal. */
  says: string;
  why: string;
}

const LIVE_LINKS: Changed = {
  says: 'accepted',
  why: 'only registers that are read later are linked: fewer are marked precise',
};
const NULL_PRECISE: Changed = {
  says: 'accepted',
  why: 'a zero passed as a null pointer is marked precise by a fix that came later than the modelled release',
};

/** By file and program. */
export const CHANGED_IN_6_18: Readonly<Record<string, Readonly<Record<string, Changed>>>> = {
  verifier_bounds_deduction: {
    deducing_bounds_from_const_10: {
      says: 'R0 tried to subtract pointer from scalar',
      why: 'negation keeps what is known of its operand',
    },
  },
  verifier_mtu: {
    tc_uninit_mtu: { says: 'accepted', why: 'bpf_check_mtu may be given memory that is not initialized' },
  },
  verifier_scalar_ids: {
    linked_regs_bpf_k: LIVE_LINKS,
    linked_regs_bpf_x_src: LIVE_LINKS,
    linked_regs_bpf_x_dst: LIVE_LINKS,
    linked_regs_broken_link: LIVE_LINKS,
    linked_regs_too_many_regs: LIVE_LINKS,
    precision_many_frames: LIVE_LINKS,
    precision_two_ids: LIVE_LINKS,
  },
  verifier_subprog_precision: {
    callback_result_precise: NULL_PRECISE,
    parent_callee_saved_reg_precise_with_callback: NULL_PRECISE,
    parent_stack_slot_precise_with_callback: NULL_PRECISE,
  },
};
