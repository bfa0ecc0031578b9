# SPDX-License-Identifier: GPL-2.0-only
# Two Makefiles in one: Kbuild, which defines KERNELRELEASE, reads the list of
# objects; a person gets targets ("make help").

ifneq ($(KERNELRELEASE),)

obj-$(CONFIG_IOMMU_QUARANTINE) += core/
obj-$(CONFIG_IOMMU_QUARANTINE_AMD) += amd-iommu/
obj-$(CONFIG_IOMMU_QUARANTINE_INTEL) += intel-vtd/
obj-$(CONFIG_IOMMU_QUARANTINE_KUNIT_TEST) += tests/conformance/

else

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The user's trees reach the scripts through the environment.
export KERNEL QEMU_SRC VENDOR FORCE CHECK_DEPS IQ_CACHE IQ_JOBS KERNELS KABI_CONFIG KABI_ARCH KABI_QUICK
ifndef IQ_CACHE
unexport IQ_CACHE
endif
ifndef IQ_JOBS
unexport IQ_JOBS
endif

comma := ,
vendors = $(or $(subst $(comma), ,$(VENDOR)),intel amd arm)
ifneq ($(filter-out intel amd arm,$(vendors)),)
$(error VENDOR: no such vendor: $(filter-out intel amd arm,$(vendors)); there are: intel, amd, arm)
endif
# Whose machines the vendors' are
archs = $(sort $(patsubst arm,arm64,$(patsubst amd,x86,$(patsubst intel,x86,$(vendors)))))

need_kernel = $(if $(KERNEL),,$(error say which tree: make $@ KERNEL=<tree>))

.PHONY: help
help:
	@echo 'See it:'
	@echo '  make demo              a device stops answering: what the ungrafted and the'
	@echo '                         grafted kernel make of it, in QEMU'
	@echo '  make check             the tests; ends with N passed, N failed, N skipped'
	@echo 'Use it:'
	@echo '  make graft KERNEL=<tree>      put the project into a kernel source tree'
	@echo '  make ungraft KERNEL=<tree>    take it out again'
	@echo '  make series KERNEL=<tree> OUT=<dir>   the same as patches for git am, by part'
	@echo '  make patch KERNEL=<tree> [OUT=<file>] the same as one diff'
	@echo '  make kabi KERNEL=<tree>       layouts and symbol versions, against the ungrafted'
	@echo '                         tree; KABI_CONFIG=<file>, KABI_ARCH=arm64, KABI_QUICK=1'
	@echo '  make callouts          the lines added to existing functions, and what they rely on'
	@echo 'Single suites:'
	@echo '  make check-build       QEMU and the test kernels build'
	@echo '  make check-sources     fetching, keeping and checking sources (no network)'
	@echo '  make check-tools       bad input gets one clear error'
	@echo '  make check-graft       graft refuses what it does not understand'
	@echo '  make check-grafttime   it takes less than 60 s'
	@echo '  make check-series      the series makes the grafted tree, and is for review'
	@echo '  make check-bisect      each commit of the series compiles'
	@echo '  make check-kabi        what make kabi sees, on made-up objects'
	@echo '  make check-module      the SMMUv3 driver as a module'
	@echo '  make check-kunit-module       its KUnit tests as modules, too; linked'
	@echo '  make check-lts         Linux 6.12 of Debian 12: graft, compile, one machine'
	@echo '  make check-distro      Debian'\''s full configuration, no new warning'
	@echo '  make check-text        CONFIG_IOMMU_QUARANTINE=n changes no code'
	@echo '  make check-style       checkpatch, kernel-doc, house rules'
	@echo '  make check-static      sparse, compiler warnings, coccicheck: nothing new'
	@echo '  make check-rules       rules of our own, by semantic patches'
	@echo '  make check-models      the automaton, model checked with spin'
	@echo '  make check-faultmodel  the fault model of QEMU, without a kernel'
	@echo '  make check-kunitconfig kunit.py takes the .kunitconfig of each folder'
	@echo '  make scenarios         the scenarios, in QEMU'
	@echo '  make mutants           a fix taken out must turn a scenario red; make check'
	@echo '                         tries those of the fence alone'
	@echo '  make kunit             the tests that run in the kernel'
	@echo '  make kunit-coverage    what lines and branches of our own C these tests reach, by'
	@echo '                         folder; what is left has a reason in tests/kunit/uncovered'
	@echo '  make kunit-mutants     a lock, fence or check taken out must turn a KUnit test red'
	@echo 'Figures:'
	@echo '  make bench             what a healthy device pays: ratios, grafted against'
	@echo '                         ungrafted'
	@echo 'Many kernels:'
	@echo '  make matrix            graft and compile all that the archive has, or'
	@echo '                         KERNELS="7.2 <tree>"; ARGS="--kunit --distro-config'
	@echo '                         --scenarios <name,...|all>"; the table with times is'
	@echo '                         left in out/matrix.md of the cache'
	@echo '  make check KERNELS="..."      make check, then the matrix of these'
	@echo 'Steps (the above do what they need of these):'
	@echo '  make deps              install what is needed, with apt'
	@echo '  make sources           fetch and unpack Linux, QEMU and tools'
	@echo '  make qemu              build QEMU with the fault model'
	@echo '  make kernel            build the ungrafted and the grafted test kernels'
	@echo '  make clean             remove build trees and results'
	@echo '  make distclean         remove the whole cache, downloads included'
	@echo 'Variables:'
	@echo '  KERNEL=<tree>          this kernel instead of the one from Debian'
	@echo '  QEMU_SRC=<tree>        this QEMU instead of the one from Debian'
	@echo '  VENDOR=intel|amd|arm   only what concerns this vendor: in demo, check, scenarios,'
	@echo '                         mutants, bench, kernel, matrix, check-lts, check-text'
	@echo '  ARCH=x86_64|arm64|um   only on this one: in kunit, kunit-mutants'
	@echo '  ARGS="..."             options of scripts/matrix.sh'
	@echo '  CHECK_DEPS=0           install nothing, only say what is missing'
	@echo '  FORCE=1                graft into a kernel newer than the verified ones'
	@echo '  IQ_CACHE=<dir>         where things go (~/.cache/iommu-quarantine)'
	@echo '  IQ_JOBS=<n>            processes at a time (2)'
	@echo '  IQ_VMS=<n>             machines of the scenarios at a time (2), and one more that'
	@echo '                         mostly waits; 1: one'
	@echo '  IQ_AGAIN=1             boot these also where the record of an earlier run would do'
	@echo '  IQ_KUNIT_TIMEOUT=<s>   so long the KUnit tests of one machine may take (600)'

.PHONY: deps sources qemu kernel
deps:
	@scripts/deps.sh

sources: deps
	@scripts/sources.sh all

qemu: deps
	@scripts/build-qemu.sh

kernel: deps
	@for arch in $(archs); do \
		scripts/build-kernel.sh plain --arch $$arch && \
		scripts/build-kernel.sh grafted --arch $$arch || exit; \
	done

need_out = $(if $(OUT),,$(error say where to: make $@ KERNEL=<tree> OUT=<dir>))

.PHONY: graft ungraft callouts series patch kabi matrix
graft:
	$(need_kernel)
	@/usr/bin/python3 scripts/graft.py graft '$(KERNEL)'

ungraft:
	$(need_kernel)
	@/usr/bin/python3 scripts/graft.py ungraft '$(KERNEL)'

series:
	$(need_kernel)
	$(need_out)
	@/usr/bin/python3 scripts/series.py series '$(KERNEL)' '$(OUT)'

patch:
	$(need_kernel)
	@/usr/bin/python3 scripts/series.py patch '$(KERNEL)' $(if $(OUT),'$(OUT)')

kabi: deps
	$(need_kernel)
	@scripts/kabi.sh

matrix: deps
	@scripts/matrix.sh $(ARGS) $(KERNELS)

callouts:
	@/usr/bin/python3 scripts/graft.py callouts

.PHONY: demo check scenarios mutants
demo: qemu kernel
	@tests/guest/run.sh demo $(if $(VENDOR),--vendor '$(VENDOR)')

check:
	@scripts/check.sh

scenarios: qemu kernel
	@tests/guest/run.sh scenarios $(if $(VENDOR),--vendor '$(VENDOR)')

mutants: qemu kernel
	@tests/guest/run.sh mutants $(if $(VENDOR),--vendor '$(VENDOR)')

.PHONY: bench
bench: qemu
	@for kind in plain grafted; do for arch in $(archs); do \
		fragments="base.config $$arch.config"; \
		[ $$kind = plain ] || fragments="$$fragments bench.config quarantine-$$arch.config"; \
		scripts/build-kernel.sh $$kind --arch $$arch --name $$kind-bench \
			--fragments "$$fragments" || exit; \
	done; done
	@tests/guest/run.sh bench $(if $(VENDOR),--vendor '$(VENDOR)')

.PHONY: kunit
kunit: deps
	@scripts/kunit.sh $(or $(ARCH),all)

.PHONY: kunit-coverage
kunit-coverage: deps
	@scripts/kunit.sh --coverage x86_64 arm64

.PHONY: kunit-mutants
kunit-mutants: qemu
	@/usr/bin/python3 -B tests/kunit/mutants.py $(if $(ARCH),--arch '$(ARCH)')

# check-SUITE: see scripts/check.sh for the suites.
check-%:
	@scripts/check.sh $*

.PHONY: clean distclean
clean:
	@scripts/clean.sh

distclean:
	@scripts/clean.sh all

endif
