"""Five forgeries: each is prepared here, and returns what to promote to prod, which must be refused."""

from __future__ import annotations

from attestations import store
from attestations.records.admission import Admission, AdmissionKind, Copied, admission_statement
from pipeline.demo.workshop import DemoFailed, Workshop
from pipeline.gather import chain_before
from pipeline.places import Image
from pipeline.promote import predecessors_of, reference_of
from registries.copy import copy_image, plan_copy


def other_image_under_the_tag(workshop: Workshop) -> str:
    """Somebody who may push to the test registry moves the tag to an image of their own."""
    genuine = workshop.in_test("2.1")
    other = workshop.built("2.1-evil")
    place = workshop.place("test")
    copy_image(plan_copy(other.digest, workshop.layout, place))
    evil = place.registry.manifest(place.repository, other.digest)
    place.registry.tag(place.repository, "2.1", evil, expected=genuine.digest)
    return "2.1"


def step_record_replaced(workshop: Workshop) -> str:
    """The record of a step of build is deleted, and another one, validly signed, is put in its place."""
    image = workshop.in_test("2.2")
    place, storage = workshop.place("test"), workshop.storage("test")
    _, admission = workshop.records("test", image.digest).admissions("test")[0]
    named = next(step for step in admission.predecessors[0].steps if step.name == "unit")
    for listed in place.registry.referrers(place.repository, image.digest):
        manifest = place.registry.manifest(place.repository, listed.digest)
        if manifest.layers[0].digest == named.record:
            storage.delete_manifest(listed.digest)
    replacement = workshop.do("build", "unit", image.digest, "ci-build", workshop.unit_reports)
    attached = store.fetch((workshop.place("build"),), image.digest).bundles
    bundle = next(bundle for bundle in attached if bundle.record == replacement)
    subject = place.registry.manifest(place.repository, image.digest).descriptor
    store.attach(place, subject, (bundle,), created=workshop.clock())
    return str(image.digest)


def stage_skipped(workshop: Workshop) -> str:
    """An image that is only in build is copied to the test registry with all its records, past `promote test`."""
    image = workshop.in_build("2.3")
    copy_image(plan_copy(image.digest, workshop.place("build"), workshop.place("test")))
    return str(image.digest)


def byte_changed_in_a_layer(workshop: Workshop) -> str:
    """One byte of a layer is changed in the test registry's storage; manifest and records stay as they are."""
    image = workshop.in_test("2.4")
    storage = workshop.storage("test")
    child = storage.manifest("", image.platforms[0][0])
    path = storage.blob_path(child.layers[1].digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))
    return str(image.digest)


def signed_by_the_wrong_stage(workshop: Workshop) -> str:
    """Who may sign for build, and for nothing else, signs an admission to test that is right in every other respect."""
    image = workshop.in_build("2.5")
    build, test = workshop.place("build"), workshop.place("test")
    copy_image(plan_copy(image.digest, build, test))
    tools, pipeline = workshop.tools("ci-build"), workshop.pipeline
    stage = pipeline.stage("test")
    records = workshop.records("build", image.digest)
    chain = chain_before(
        "test", Image(digest=image.digest, tag=None, place=build), records, pipeline=pipeline, now=workshop.clock()
    )
    forged = Admission(
        pipeline=reference_of(pipeline),
        stage="test",
        kind=AdmissionKind.PROMOTION,
        predecessors=predecessors_of(stage, chain),
        gates=(),
        approvals=(),
        source=str(build),
        destination=str(test),
        copied=Copied(manifests=3, blobs=8, bytes=4096, mounted=0),
        decided_at=workshop.clock(),
        by=(),
        tool=(),
    )
    if tools.signer is None:
        raise DemoFailed("demo-failed", "the key of ci-build is missing")
    bundle = tools.signer.sign(admission_statement(forged, image.digest))
    subject = test.registry.manifest(test.repository, image.digest).descriptor
    store.attach(test, subject, (bundle,), created=workshop.clock())
    return str(image.digest)
