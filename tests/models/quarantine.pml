/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The automaton of Documentation/design.md with two flushers, an attach, the
 * quarantine work, a reset and the release of the device, in any order.
 *
 * What must hold:
 *  - no flush returns while a device that did not answer can still use what was
 *    flushed (C1);
 *  - nothing is queued for a device that was accused (C3);
 *  - a quarantine is lifted by a proven reset, and by that only (C7);
 *  - nobody uses what the release has freed, and it never hangs (C8);
 *  - in the end the bracket that the quarantine holds is accounted for.
 *
 * Each BUG_... takes one of the rules out; run.sh sees to it that the model
 * then fails. Steps that are one in the code (a compare and exchange, a store
 * under a raw lock, what is done under q_lock) are one here.
 */

mtype = { HEALTHY, FENCING, FENCED };
mtype = { C_HEALTHY, C_REPORTED, C_QUARANTINED, C_RECOVERING, C_RELEASED };

mtype backend = HEALTHY;	/* vtd_dev.state */
mtype core = C_HEALTHY;		/* quarantine.state */

bool wedged = true;		/* the device does not answer */
bool may = true;		/* ATS permission in the context entry */
bool cached = true;		/* the same, as the IOMMU has cached it */
bool indexed = true;		/* the backend's index knows the device */
bool freed = false;		/* its memory is gone */
byte readers = 0;		/* RCU read sections */
bool work = false;		/* irq_work raised or work queued */
bool working = false;		/* the work runs */
bool mutex = false;		/* group->mutex */
byte depth = 0;			/* gdev->reset_depth */
bool held = false;		/* one of them is the quarantine's */
byte stale_epoch = 0;		/* proven resets */
byte done = 0;			/* processes that ended */
bool lifted_by_reset = true;	/* false: out of quarantine without a proof */

#define LOCK(m)		atomic { !m -> m = true }
#define UNLOCK(m)	m = false

inline report(epoch)
{
	atomic {
		assert(!freed);
		if
		:: epoch == stale_epoch &&
		   (core == C_HEALTHY || core == C_RECOVERING) ->
			core = C_REPORTED;
		:: else -> goto no_report
		fi
	}
	/* Between the two a release may begin: it waits for readers */
	work = true;
no_report:
	skip
}

inline fence(epoch)
{
	/* under vtd_dev.lock */
	atomic {
		assert(!freed);
		if
		:: backend != HEALTHY -> may = false
		:: else
		fi
	}
#ifndef BUG_NO_CONTEXT_FLUSH
	/* The device never stops asking: what was forgotten is cached anew */
	cached = may;
#endif
	atomic {
		assert(!freed);
		if
		:: backend == FENCING -> backend = FENCED; won = true
		:: else -> won = false
		fi
	}
	if
	:: won -> report(epoch)
	:: else
	fi
}

proctype flusher()
{
	bool queued, unanswered, won;
	byte epoch;

	/* intel_quarantine_filter(), under q_lock */
	atomic {
		queued = indexed && backend == HEALTHY;
#ifdef BUG_NO_FILTER
		queued = indexed;
#endif
		assert(!queued || backend == HEALTHY);
		unanswered = wedged && indexed;
	}

	/* intel_quarantine_ite(), under q_lock; a wedged device stays silent */
	atomic {
		epoch = stale_epoch;
		if
		:: queued && unanswered && wedged && indexed &&
		   backend == HEALTHY ->
			backend = FENCING
		:: else
		fi
	}

	/* intel_quarantine_settle() */
#ifdef BUG_FENCE_AFTER_RETURN
	goto returned;
#endif
	readers++;
	if
	:: indexed && backend == FENCING ->
#ifdef BUG_FENCING_IS_FENCED
		if
		:: queued -> fence(epoch)
		:: else
		fi
#else
		fence(epoch)
#endif
	:: else
	fi;
	readers--;
returned:
	/* The memory is reused now. A reset or the release made it harmless. */
	assert(!(unanswered && wedged && indexed && cached));
	done++
}

/* An attach writes a new context entry and has the IOMMU forget the old one */
proctype attach()
{
	atomic {
		if
		:: indexed && !freed ->
#ifdef BUG_WRITER_NOT_MASKED
			may = true
#else
			may = (backend == HEALTHY)
#endif
		:: else
		fi
	}
	atomic {
		if
		:: indexed -> cached = may
		:: else
		fi
	}
	done++
}

active proctype worker()
{
end:
	do
	:: atomic { work -> work = false; working = true }
		/* may be held up here for as long as one likes */
		LOCK(mutex);
		assert(!freed);
		/* iommu_quarantine_stale() and the bracket */
		if
#ifdef BUG_STALE_WORK
		:: atomic { core != C_RELEASED ->
#else
		:: atomic { core == C_REPORTED ->
#endif
			/* not a device that a reset has lifted since */
			assert(core == C_REPORTED);
			depth++;
			held = true;
			core = C_QUARANTINED }
		:: else
		fi;
		UNLOCK(mutex);
		working = false
	od
}

proctype reset()
{
	bool proven;

	LOCK(mutex);
	depth++;
	UNLOCK(mutex);

	/* the hardware's part: it may do nothing and say that it did */
	if
	:: atomic { wedged = false; proven = true }
	:: proven = false
	fi;

	LOCK(mutex);
	if
#ifdef BUG_BELIEVES_RC
	:: core != C_RELEASED && core != C_HEALTHY ->
#else
	:: proven && core != C_RELEASED && core != C_HEALTHY ->
#endif
		if
		:: !proven -> lifted_by_reset = false
		:: else
		fi;
		core = C_RECOVERING;
		stale_epoch++;
		/* reset_device_done() */
		atomic {
			if
			:: indexed ->
				assert(!freed);
				backend = HEALTHY;
				may = true;
				cached = true
			:: else
			fi
		}
		if
		:: held -> depth--; held = false
		:: else
		fi
	:: else
	fi;
	depth--;
	atomic {
		if
		:: core == C_RECOVERING -> core = C_HEALTHY
		:: else
		fi
	}
	UNLOCK(mutex);
	done++
}

proctype release()
{
	/* iommu_quarantine_release(), without group->mutex */
#ifdef BUG_CANCEL_UNDER_MUTEX
	LOCK(mutex);
#endif
#ifndef BUG_CANCEL_FIRST
	core = C_RELEASED;
	readers == 0;		/* grace period */
#endif
	atomic { !working -> work = false };
	!working;
#ifndef BUG_CANCEL_UNDER_MUTEX
	LOCK(mutex);
#endif
	/* intel_quarantine_release(), under group->mutex */
	indexed = false;
#ifndef BUG_NO_GRACE_PERIOD
	readers == 0;
#endif
	freed = true;
	UNLOCK(mutex);
	done++
}

init {
	atomic {
		run flusher();
		run flusher();
		run attach();
		run reset();
		run release()
	}
	done == 5 && !work && !working;
	assert(lifted_by_reset);
	assert(core != C_QUARANTINED || held);
	assert(depth == 0 || (depth == 1 && held))
}
