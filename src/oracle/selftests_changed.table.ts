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

const NEVER_NULL: Changed = {
  says: 'accepted',
  why: 'a look-up of a constant key in an array is never null',
};

const REFCOUNTED_NODE: Changed = {
  says: 'bpf_rbtree_remove can only take non-owning or refcounted bpf_rb_node pointer',
  why: 'nodes that the program owns may be removed as well, which other words say',
};

const NO_SIGNATURES: Changed = {
  says: 'calling kernel function bpf_verify_pkcs7_signature is not allowed',
  why: 'the recorded kernel cannot verify signatures',
};

/** By file and program; `*` is every program. */
export const CHANGED_IN_6_18: Readonly<Record<string, Readonly<Record<string, Changed>>>> = {
  exceptions_assert: {
    '*': {
      says: "invalid mem access 'scalar'",
      why: 'only registers that are read later are linked: R0 does not learn what R6 does',
    },
  },
  iters: { iter_err_too_permissive2: NEVER_NULL, iter_err_too_permissive3: NEVER_NULL },
  preempt_lock: {
    preempt_global_subprog_test: { says: 'accepted', why: 'global functions that do not sleep may be called' },
  },
  rbtree_fail: {
    rbtree_api_remove_unadded_node: {
      says: 'pointer arithmetic on ptr_or_null_ prohibited',
      why: 'nodes that the program owns may be removed, so that a later mistake is found',
    },
    rbtree_api_add_release_unlock_escape: REFCOUNTED_NODE,
    rbtree_api_first_release_unlock_escape: REFCOUNTED_NODE,
  },
  test_kfunc_dynptr_param: { not_valid_dynptr: NO_SIGNATURES, not_ptr_to_stack: NO_SIGNATURES },
  uninit_stack: {
    helper_uninit_to_misc: { says: 'accepted', why: 'memory that a helper only reads stays as it was' },
  },
  verifier_bounds_deduction: {
    deducing_bounds_from_const_10: {
      says: 'R0 tried to subtract pointer from scalar',
      why: 'negation keeps what is known of its operand',
    },
  },
  verifier_bpf_fastcall: {
    may_goto_interaction: {
      says: 'accepted',
      why: 'may_goto measures time as well and takes eight bytes more of the stack',
    },
  },
  verifier_map_in_map: {
    map_in_map_state_pruning: {
      says: 'accepted',
      why: 'a look-up of a constant key in an array is never null, so that fewer instructions are walked',
    },
  },
  verifier_map_ptr: {
    read_non_existent_field_rejected: { says: 'accepted', why: 'struct bpf_map begins with a digest, not with ops' },
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
