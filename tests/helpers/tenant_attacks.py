"""Ways in which code of an app could reach the rows of another tenant, by mistake or by force.

Each takes a session and the tenant whose rows it is after, and returns what it has seen. The same code, run
by that tenant itself, sees or changes rows: the tests check this too, so that no attack is harmless.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

from sqlalchemy import (
    Row,
    String,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
    table,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, joinedload, make_transient_to_detached, selectinload

from tests.helpers.tenant_database import Country, Label, Note, Project, note_label, note_table

Attack = Callable[[AsyncSession, str], Awaitable[object]]

READS: dict[str, Attack] = {}
WRITES: dict[str, Attack] = {}


def _read(attack: Attack) -> Attack:
    READS[attack.__name__.strip("_").replace("_", " ")] = attack
    return attack


def _write(attack: Attack) -> Attack:
    WRITES[attack.__name__.strip("_").replace("_", " ")] = attack
    return attack


async def _all(session: AsyncSession, statement: Any, **options: Any) -> list[Any]:
    return [_plain(row) for row in (await session.execute(statement, **options)).all()]


def _plain(value: Any) -> Any:
    if isinstance(value, (Note, Project, Label)):
        return {name: vars(value)[name] for name in vars(value) if not name.startswith("_sa")}
    if isinstance(value, (Row, tuple, list)):
        return [_plain(each) for each in cast("Iterable[Any]", value)]
    return value


@_read
async def _select_all(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(Note))


@_read
async def _select_by_tenant(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(Note).where(Note.tenant_id == tenant))


@_read
async def _get_by_primary_key(session: AsyncSession, tenant: str) -> object:
    return _plain(await session.get(Note, f"{tenant}-n1"))


@_read
async def _get_with_populate_existing(session: AsyncSession, tenant: str) -> object:
    return _plain(await session.get(Note, f"{tenant}-n1", populate_existing=True))


@_read
async def _columns_only(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(Note.text))


@_read
async def _alias(session: AsyncSession, tenant: str) -> object:
    other = aliased(Note)
    return await _all(session, select(other.text).join(Note, literal(True)))


@_read
async def _outer_join(session: AsyncSession, tenant: str) -> object:
    return await _all(
        session, select(Country.code, Project.name).outerjoin(Project, Project.country == Country.code)
    )


@_read
async def _join_of_core_and_orm(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(Country, note_table).join(note_table, literal(True)))


@_read
async def _core_table(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(note_table))


@_read
async def _lightweight_table(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(column("text", String)).select_from(table("note")))


@_read
async def _many_to_many(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(note_label))


@_read
async def _union_of_selects(session: AsyncSession, tenant: str) -> object:
    return await _all(session, union_all(select(Note.text), select(Label.text)))


@_read
async def _cte(session: AsyncSession, tenant: str) -> object:
    notes = select(Note.text).cte("notes")
    return await _all(session, select(notes))


@_read
async def _scalar_subquery(session: AsyncSession, tenant: str) -> object:
    return await _all(
        session, select(select(func.max(Note.text)).where(Note.id == f"{tenant}-n1").scalar_subquery())
    )


@_read
async def _exists_as_an_oracle(session: AsyncSession, tenant: str) -> object:
    found = await session.scalar(
        select(exists().where(Note.id == f"{tenant}-n1", Note.text.like(f"{tenant}%")))
    )
    return f"{tenant} secret" if found else None


@_read
async def _count_as_an_oracle(session: AsyncSession, tenant: str) -> object:
    count = await session.scalar(select(func.count()).select_from(Note).where(Note.tenant_id == tenant))
    return f"{tenant} secret" if count else None


@_read
async def _literal_sql_in_a_query(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(literal_column("(SELECT max(text) FROM note)", String)))


@_read
async def _condition_that_ends_the_filter(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(Note).where(text("1 = 1 OR 1 = 1")))


@_read
async def _raw_sql(session: AsyncSession, tenant: str) -> object:
    return await _all(session, text("SELECT * FROM note"))


@_read
async def _raw_sql_as_orm_objects(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(Note).from_statement(text("SELECT * FROM note")))


@_read
async def _raw_sql_over_the_connection(session: AsyncSession, tenant: str) -> object:
    connection = await session.connection()
    return [_plain(row) for row in await connection.execute(text("SELECT * FROM note"))]


@_read
async def _driver_sql(session: AsyncSession, tenant: str) -> object:
    connection = await session.connection()
    return [_plain(row) for row in await connection.exec_driver_sql('SELECT * FROM "note" AS n')]


@_read
async def _cursor_of_the_driver(session: AsyncSession, tenant: str) -> object:
    connection = await session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    cursor = await driver.execute("SELECT * FROM note")
    return [_plain(row) for row in await cursor.fetchall()]


@_read
async def _eager_relationship(session: AsyncSession, tenant: str) -> object:
    return await _all(session, select(Project).options(selectinload(Project.notes).selectinload(Note.labels)))


@_read
async def _joined_relationship(session: AsyncSession, tenant: str) -> object:
    projects = await session.scalars(select(Project).options(joinedload(Project.notes)))
    return [_plain(project.notes) for project in projects.unique()]


@_read
async def _relationship_of_a_made_up_object(session: AsyncSession, tenant: str) -> object:
    """Load the notes of an object that was never read."""
    project = Project(id=f"{tenant}-p1", tenant_id=tenant)
    make_transient_to_detached(project)
    session.add(project)
    await session.refresh(project, ["notes"])
    return _plain(project.notes)


@_read
async def _merge(session: AsyncSession, tenant: str) -> object:
    with session.no_autoflush:
        merged = await session.merge(Note(id=f"{tenant}-n1"))
        return vars(merged).get("text")


@_read
async def _stream(session: AsyncSession, tenant: str) -> object:
    result = await session.stream(select(Note.text).execution_options(yield_per=1))
    return [_plain(row) async for row in result]


@_read
async def _legacy_query(session: AsyncSession, tenant: str) -> object:
    return await session.run_sync(lambda sync: [_plain(note) for note in sync.query(Note).all()])


@_read
async def _execution_options(session: AsyncSession, tenant: str) -> object:
    options = {"populate_existing": True, "autoflush": False, "schema_translate_map": {"other": None}}
    return await _all(session, select(Note), execution_options=options)


@_read
async def _in_a_savepoint(session: AsyncSession, tenant: str) -> object:
    async with session.begin_nested():
        return await _all(session, select(Note))


@_read
async def _after_a_commit(session: AsyncSession, tenant: str) -> object:
    await session.scalar(select(1))
    await session.commit()
    return await _all(session, text("SELECT * FROM note"))


@_read
async def _after_a_rollback(session: AsyncSession, tenant: str) -> object:
    await session.scalar(select(1))
    await session.rollback()
    return await _all(session, text("SELECT * FROM note"))


@_read
async def _returning_of_an_update(session: AsyncSession, tenant: str) -> object:
    return await _all(session, update(Note).values(text=Note.text).returning(Note.text))


@_read
async def _returning_of_a_delete(session: AsyncSession, tenant: str) -> object:
    return await _all(session, delete(note_label).returning(note_label.c.note_id))


@_read
async def _copy_into_an_own_row(session: AsyncSession, tenant: str) -> object:
    source = select(literal("copy"), func.max(Note.text)).where(Note.tenant_id == tenant)
    await session.execute(
        insert(Label).from_select(["id", "text"], source.having(func.max(Note.text).is_not(None)))
    )
    return await _all(session, select(Label.text).where(Label.id == "copy"))


@_write
async def _update_by_primary_key(session: AsyncSession, tenant: str) -> object:
    return await session.execute(update(Note).where(Note.id == f"{tenant}-n1").values(text="changed"))


@_write
async def _update_of_all_rows(session: AsyncSession, tenant: str) -> object:
    return await session.execute(update(Note).values(text="changed"))


@_write
async def _update_without_synchronization(session: AsyncSession, tenant: str) -> object:
    return await session.execute(
        update(Note).values(text="changed"), execution_options={"synchronize_session": False}
    )


@_write
async def _bulk_update_by_primary_key(session: AsyncSession, tenant: str) -> object:
    return await session.execute(update(Note), [{"id": f"{tenant}-n1", "text": "changed"}])


@_write
async def _core_update(session: AsyncSession, tenant: str) -> object:
    return await session.execute(note_table.update().values(text="changed"))


@_write
async def _update_with_another_table(session: AsyncSession, tenant: str) -> object:
    return await session.execute(
        update(Note).where(Note.project_id == Project.id).values(text=Project.name + " changed")
    )


@_write
async def _raw_update(session: AsyncSession, tenant: str) -> object:
    return await session.execute(text("UPDATE note SET text = 'changed'"))


@_write
async def _raw_delete(session: AsyncSession, tenant: str) -> object:
    return await session.execute(text('delete from "note_label"'))


@_write
async def _delete_of_all_rows(session: AsyncSession, tenant: str) -> object:
    return await session.execute(delete(note_label))


@_write
async def _delete_of_a_made_up_object(session: AsyncSession, tenant: str) -> object:
    note = Note(id=f"{tenant}-n2", tenant_id=tenant)
    make_transient_to_detached(note)
    session.add(note)
    await session.delete(note)
    await session.flush()
    return None


@_write
async def _change_of_a_made_up_object(session: AsyncSession, tenant: str) -> object:
    note = Note(id=f"{tenant}-n2", tenant_id=tenant, text="")
    make_transient_to_detached(note)
    session.add(note)
    note.text = "changed"
    await session.flush()
    return None


@_write
async def _insert_into_the_tenant(session: AsyncSession, tenant: str) -> object:
    session.add(Note(id="new", tenant_id=tenant, text="planted"))
    await session.flush()
    return None


@_write
async def _bulk_insert_into_the_tenant(session: AsyncSession, tenant: str) -> object:
    rows = [{"id": f"new-{number}", "tenant_id": tenant, "text": "planted"} for number in range(3)]
    return await session.execute(insert(Note), rows)


@_write
async def _core_insert_into_the_tenant(session: AsyncSession, tenant: str) -> object:
    return await session.execute(note_table.insert().values(id="new", tenant_id=tenant, text="planted"))


@_write
async def _raw_insert_into_the_tenant(session: AsyncSession, tenant: str) -> object:
    statement = text("INSERT INTO note (id, tenant_id, text) VALUES ('new', :tenant, 'planted')")
    return await session.execute(statement, {"tenant": tenant})


@_write
async def _insert_from_select(session: AsyncSession, tenant: str) -> object:
    source = select(literal("new"), literal(tenant), literal("planted"))
    return await session.execute(insert(Note).from_select(["id", "tenant_id", "text"], source))


@_write
async def _upsert(session: AsyncSession, tenant: str) -> object:
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(Note).values(id=f"{tenant}-n1", text="mine")
    return await session.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_={"text": "changed"})
    )


@_write
async def _row_for_a_row_of_the_tenant(session: AsyncSession, tenant: str) -> object:
    """Refer to the project of the tenant, by a foreign key."""
    session.add(Note(id="new", project_id=f"{tenant}-p1", text="planted"))
    await session.flush()
    return None


@_write
async def _row_for_a_row_of_the_tenant_by_relationship(session: AsyncSession, tenant: str) -> object:
    project = Project(id=f"{tenant}-p1", tenant_id=tenant)
    make_transient_to_detached(project)
    session.add(Note(id="new", project=project, text="planted"))
    await session.flush()
    return None
